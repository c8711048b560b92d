"""A checkpoint, its card and its pictures -> a repository of the hub, in one commit."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from pipelines.command_line import JSON_ERRORS, UserError, in_short
from pipelines.data.locations import HUB_NAME
from pipelines.hub.model_card import MARK, ModelCard
from pipelines.hub.pulling import ENDINGS, Repository, why_unreachable
from pipelines.hub.run_description import PICTURES, describe_run
from pipelines.training.checkpoint import INDEX, PARTS, CheckpointPaths, open_checkpoint

CARD = "README.md"
ALL_PARTS = {
    "reconstructor",
    "text_encoder",
    "style_encoder",
    *(part for parts in PARTS.values() for part in parts),
}
"""Folders of a repository that are a checkpoint's: what an earlier one left in them goes."""


@dataclass(frozen=True)
class Pushed:
    """Where the commit is seen, and how many files the repository has of it.

    card_kept: the repository has a card that was not written from a run, and keeps it.
    """

    url: str
    files: int
    card_kept: bool


def collect(
    checkpoint: str | Path,
    name: str,
    license: str | None = None,
    report: str | Path | None = None,
) -> dict[str, Path | bytes]:
    """What a repository will hold, by the names there: files of this machine, or texts.

    A card that lies in the checkpoint's folder is taken as it is, with the pictures beside it.

    Args:
        name: of the repository, `owner/name`.
        license: as the hub abbreviates it, such as `apache-2.0`.
        report: the output folder of `evaluate_checkpoint.py` about this checkpoint.

    Raises:
        UserError: one of them cannot be used.
    """
    try:
        validate_repo_id(name)
        named = HUB_NAME.fullmatch(name) is not None
    except HFValidationError:
        named = False
    if not named:
        raise UserError(
            f"{name!r} is no name of a repository; give owner/name, as the hub takes it."
        )
    paths = open_checkpoint(checkpoint)
    files: dict[str, Path | bytes] = {INDEX: paths.root / INDEX}
    for part in paths.parts:
        for file in sorted((paths.root / part).rglob("*")):
            if file.suffix in ENDINGS and file.is_file():
                files[file.relative_to(paths.root).as_posix()] = file
    if (paths.root / CARD).is_file():
        return files | _own_card(paths, license, report)
    run = describe_run(paths, None if report is None else Path(report))
    pictures = {found.path: found.file for found in run.pictures}
    return {CARD: str(ModelCard(name, run, license)).encode(), **pictures, **files}


def _own_card(
    paths: CheckpointPaths, license: str | None, report: str | Path | None
) -> dict[str, Path | bytes]:
    card = paths.root / CARD
    if license is not None or report is not None:
        raise UserError(
            f"{card} is a model card already, and is not written anew; put licence and figures "
            "there, or remove it."
        )
    pictures = sorted((paths.root / PICTURES).glob("*.png"))
    return {CARD: card, **{f"{PICTURES}/{file.name}": file for file in pictures}}


def write_files(files: Mapping[str, Path | bytes], folder: Path) -> None:
    """Writes what would be pushed into an empty folder.

    Raises:
        UserError: the disk has no room for it.
    """
    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                (folder / name).write_bytes(content)
            else:
                shutil.copyfile(content, folder / name)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({in_short(error)}); make room.") from error


def push(
    files: Mapping[str, Path | bytes],
    name: str,
    private: bool | None = None,
    commit_message: str | None = None,
    token: str | None = None,
) -> Pushed:
    """Makes the repository if need be and commits the files.

    Parts of an earlier checkpoint that are not among them are removed; other files stay, and so
    does a card that somebody wrote there, unless one that lies in the checkpoint is pushed.

    Args:
        private: whether a new one is; None leaves it to the hub's settings.
        token: None takes the one that `hf auth login` or HF_TOKEN gave.

    Raises:
        UserError: there is no network, or no right to do it; or the repository is another model's,
            or public where a private one is asked for.
    """
    if (reason := why_unreachable(Repository(name))) is not None:
        raise UserError(
            f"{name} cannot be pushed, as the hub cannot be reached ({in_short(reason)}); try "
            "again when there is a network."
        )
    api = HfApi(token=token)
    try:
        api.create_repo(name, private=private, exist_ok=True)
        if private and not api.model_info(name).private:
            raise UserError(
                f"the repository {name} is public; make it private in its settings on the hub, or "
                "name another."
            )
        there = api.list_repo_files(name)
        stale = {*_files_of_parts(api, name, there)} - {*files}
        card_kept = isinstance(files[CARD], bytes) and CARD in there and not _written(api, name)
        if card_kept:
            files = {path: content for path, content in files.items() if path != CARD}
        commit = api.create_commit(
            name,
            [
                *(CommitOperationDelete(path) for path in sorted(stale)),
                *(CommitOperationAdd(path, content) for path, content in files.items()),
            ],
            commit_message=commit_message or "Checkpoint of drawscribe",
        )
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        template = _NO_RIGHT if status in (401, 403) else _FAILED
        raise UserError(template.format(name=name, reason=in_short(error))) from error
    except (OSError, ValueError) as error:  # a file, or what the hub does not like in the card
        raise UserError(_FAILED.format(name=name, reason=in_short(error))) from error
    return Pushed(commit.commit_url, len(files), card_kept)


_NO_RIGHT = (
    "{name} cannot be pushed ({reason}); log in with a token that may write (hf auth login, or "
    "HF_TOKEN), and name a repository of your own."
)
_FAILED = "{name} cannot be pushed ({reason}); what was there before is still there."


def _files_of_parts(api: HfApi, name: str, there: list[str]) -> list[str]:
    """Those of an earlier checkpoint; none where there is no index, as they are not ours.

    Raises:
        UserError: the repository has the index of another model, such as a pipeline of diffusers.
    """
    if INDEX not in there:
        return []
    file = Path(api.hf_hub_download(name, INDEX))
    try:
        ours = {"kind", "format_version"} <= json.loads(file.read_text(encoding="utf-8")).keys()
    except JSON_ERRORS:
        ours = False
    if not ours:
        raise UserError(
            f"the repository {name} holds another model, whose files a push would remove; name "
            "another repository, or remove that model first."
        )
    return [path for path in there if "/" in path and path.split("/")[0] in ALL_PARTS]


def _written(api: HfApi, name: str) -> bool:
    """Whether the repository's card was written from a run, and not by somebody."""
    return MARK in Path(api.hf_hub_download(name, CARD)).read_text(encoding="utf-8")
