"""Writes a page on which people rate pictures of several systems without knowing whose they are.

    systems = {"ours": pictures, "another": its_pictures}     # one picture of each prompt
    write_rating_sheet(Path("runs/sheet"), Path("runs/key.json"), prompts, systems, seed=0)

Raters get the folder and nothing else; `tally_ratings.py` reads what they send back.
"""

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from string import ascii_uppercase

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from pipelines.command_line import UserError
from pipelines.data.transforms import to_rgb
from pipelines.evaluation.ratings import NO_DIFFERENCE, PREFERENCES, SCORES, VALUES, Item
from pipelines.training.storage import begin, commit, replace_file

PICTURES = "pictures"


def write_rating_sheet(
    folder: Path,
    key_file: Path,
    prompts: Sequence[str],
    systems: Mapping[str, Sequence[Image.Image]],
    seed: int,
) -> None:
    """Writes `folder` for raters (`sheet.html`, pictures) and `key_file` for whoever tallies.

    The same arguments give the same bytes: the order, and the id by which ratings and their key
    find each other, follow from all of them. Raters must not know the seed.

    Args:
        folder: a new or empty one.
        key_file: a new file outside of `folder`.
        systems: from names, two at least, to one picture of each prompt. The pictures of a prompt
            have the same size, as raters would know the systems by it.

    Raises:
        UserError: one of these does not hold.
    """
    _check_places(folder, key_file)
    drawn = _check_pictures(prompts, systems)
    # The part that raters see does not tell the part that the order follows from.
    digest = _digest(prompts, drawn, seed)
    sheet, secret = digest[:16], digest[16:]
    items = _shuffle(prompts, list(drawn), random.Random(secret))
    sizes = [picture.size for picture in next(iter(drawn.values()))]
    page = _page(sheet, items, sizes)
    try:
        writing = begin(folder)
        _write_pictures(writing, items, drawn)
        (writing / "sheet.html").write_text(page, encoding="utf-8")
        key = {"sheet": sheet, "seed": seed, "items": {n: asdict(i) for n, i in items.items()}}
        text = json.dumps(key, indent=1, ensure_ascii=False) + "\n"
        key_file.parent.mkdir(parents=True, exist_ok=True)
        # Before the sheet: nobody may rate pictures whose key was lost.
        replace_file(key_file, partial(Path.write_text, data=text, encoding="utf-8"))
        if folder.is_dir():
            folder.rmdir()
        commit(writing)
    except OSError as error:
        raise UserError(f"the rating sheet {folder} cannot be written ({error}).") from error


def _check_places(folder: Path, key_file: Path) -> None:
    if key_file.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"the key {key_file} would be in {folder}, which raters get; name a file outside of it."
        )
    if key_file.exists():
        raise UserError(f"the key {key_file} exists already; name a new file.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"the rating sheet {folder} exists already; name a new folder.")


def check_systems(names: Sequence[str]) -> None:
    """Raises:
    UserError: so many, or systems of such names, cannot be compared on a sheet.
    """
    if not 2 <= len(names) <= len(ascii_uppercase):
        raise UserError(
            f"{len(names)} systems cannot be compared on a sheet; give 2 to {len(ascii_uppercase)}."
        )
    for name in names:
        if not any(map(str.isalnum, name)):
            raise UserError(f"a system is named {name!r}; give it a name with a letter or digit.")


def _check_pictures(
    prompts: Sequence[str], systems: Mapping[str, Sequence[Image.Image]]
) -> dict[str, list[Image.Image]]:
    """The pictures in RGB, systems by name: who was named first must not tell anything."""
    if not prompts:
        raise UserError("there is no prompt to rate pictures of; give one at least.")
    check_systems(list(systems))
    for name, pictures in systems.items():
        if len(pictures) != len(prompts):
            raise UserError(
                f"the system {name!r} has {len(pictures)} pictures of {len(prompts)} prompts; give "
                "one of each."
            )
    drawn = {name: [to_rgb(picture) for picture in systems[name]] for name in sorted(systems)}
    for row, pictures in enumerate(zip(*drawn.values(), strict=True)):
        sizes = [f"{picture.width} x {picture.height}" for picture in pictures]
        if len({*sizes}) > 1:
            told = ", ".join(f"{size} of {name!r}" for name, size in zip(drawn, sizes, strict=True))
            raise UserError(
                f"the pictures of the prompt {prompts[row]!r} differ in size ({told}), by which "
                "raters would know them; bring them to one size."
            )
    return drawn


def _digest(prompts: Sequence[str], drawn: dict[str, list[Image.Image]], seed: int) -> str:
    digest = hashlib.sha256(json.dumps([seed, *prompts, *drawn]).encode())
    for pictures in drawn.values():
        for picture in pictures:
            digest.update(picture.tobytes())
    return digest.hexdigest()


def _shuffle(prompts: Sequence[str], names: list[str], rng: random.Random) -> dict[str, Item]:
    """Items in the order of the sheet. Each system stands at each place equally often, or once more
    where the prompts do not divide, since raters favour places."""
    orders: list[list[str]] = []
    while len(orders) < len(prompts):
        order = rng.sample(names, len(names))
        turned = [order[turn:] + order[:turn] for turn in range(len(order))]
        orders += rng.sample(turned, min(len(turned), len(prompts) - len(orders)))
    rng.shuffle(orders)
    rows = rng.sample(range(len(prompts)), len(prompts))
    digits = len(str(len(rows)))
    return {
        f"{place:0{digits}d}": Item(
            prompts[row], row, dict(zip(ascii_uppercase, order, strict=False))
        )
        for place, (row, order) in enumerate(zip(rows, orders, strict=True), start=1)
    }


def _picture_name(item: str, label: str) -> str:
    return f"{PICTURES}/{item}{label}.png"


def _write_pictures(
    folder: Path, items: dict[str, Item], drawn: dict[str, list[Image.Image]]
) -> None:
    """In the order of the sheet, which is then that of their times too."""
    (folder / PICTURES).mkdir()
    for name, item in items.items():
        for label, system in item.systems.items():
            # From pixels alone: a picture from a file may carry metadata that Pillow writes again.
            source = drawn[system][item.row]
            bare = Image.frombytes("RGB", source.size, source.tobytes())
            bare.save(folder / _picture_name(name, label))


def _page(sheet: str, items: dict[str, Item], sizes: list[tuple[int, int]]) -> str:
    """The sheet; `sizes` (width, height) by row."""
    environment = Environment(
        loader=PackageLoader("pipelines.evaluation", "rating_page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    shown = [
        {
            "name": name,
            "prompt": item.prompt,
            "pictures": {label: _picture_name(name, label) for label in item.systems},
            "width": sizes[item.row][0],
            "height": sizes[item.row][1],
        }
        for name, item in items.items()
    ]
    return environment.get_template("page.html").render(
        sheet=sheet,
        items=shown,
        scores=SCORES,
        preferences=PREFERENCES,
        values=VALUES,
        no_difference=NO_DIFFERENCE,
    )
