"""`gans.md`: tables over seeds and strips of pictures, from the cells there are."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from study.cells import cell_name
from study.page import machines, write_with_cells
from study.results import Results
from study.verdicts import NOTHING, spread

from gan_study.rows import shown_pairs
from gan_study.runs import GANStudy
from gan_study.systems import (
    ABLATIONS,
    ARM_MINUTES,
    MINUTES,
    SIDE,
    TEXT_ENCODER_STEPS,
    TWO_STAGE,
    DataSet,
    systems_on,
)
from pipelines.markdown_tables import table
from pipelines.training.storage import replace_file

JUDGED = {"r_precision": "R-precision", "distance": "Fréchet distance", "diversity": "diversity"}
READ = {"exact": "all", "shape": "shape", "colour": "colour", "size": "size", "count": "count"}
OBJECTS = {1: "one object", 2: "two objects"}
SYSTEM_NAMES = {
    "gan_cls": "GAN-CLS",
    "gan_int_cls": "GAN-INT-CLS",
    "xmc_gan": "XMC-GAN",
    "adma_gan": "Adma-GAN",
    "adma_gan_given": "Adma-GAN, told attributes",
    "infomax_gan": "InfoMax-GAN",
    "dual_contrastive": "dual contrastive",
    TWO_STAGE: "two-stage (VQGAN, transformer)",
}


def write_page(study: GANStudy, seeds: int, page: Path) -> None:
    """The page, the strips beside it, and all cells as JSON, by one process at a time."""
    with study.cells.claimed("page", wait=True):
        images = page.parent / "images" / page.stem
        images.mkdir(parents=True, exist_ok=True)
        for strip in study.strips.glob("*_0.png"):
            replace_file(images / strip.name, partial(shutil.copy, strip))
        results = Results(study, seeds)
        sections = [introduction(study)]
        one_object = study.data["one_object"]
        for one in study.data.values():
            if one is not one_object:
                sections.append(systems_section(results, one, images))
        sections += [ablation_section(results, one_object, images), forgetting_section(results)]
        write_with_cells(page, "\n".join(sections), study.cells)


def introduction(study: GANStudy) -> str:
    """How it was made."""
    rows = [("one step of", "seconds"), *((k, f"{v:.3f}") for k, v in study.pace.items())]
    return f"""# GANs and the two-stage system at equal minutes

    python benchmarks/gans.py --output runs/gans --emoji DIR --page docs/gan_study.md

Each system trains for {MINUTES:g} minutes of two idle cores, counted in steps by the pace below,
which was measured side by side on the idle machine; the base of each ablation for {ARM_MINUTES:g},
and its arms for as many steps as the base, however long these last. The pace of GANs was measured
on scenes and counts their steps on emoji too, where GAN-CLS and GAN-INT-CLS read a BERT in place of
characters: their pace with it was not measured. Text encoders ({TEXT_ENCODER_STEPS} steps) come on
top. {SIDE} pixels. Means over seeds, ± their standard deviation where there are several. The judge
is a dual encoder with another seed than the GANs' text encoder; R-precision is among 100 captions
(0.010 by chance), and no distance here is an FID.

Machine: {" ".join(machines(study.cells, left_out=["threads"]))}

{table(rows)}
"""


def systems_section(results: Results, data: DataSet, images: Path) -> str:
    """All systems on a data set."""
    names = [system.name for system in systems_on(data)] + [TWO_STAGE]
    text = f"## All systems on {data.name}\n\n{judged_table(results, data, names, SYSTEM_NAMES)}\n"
    for number in data.objects:
        text += f"\n{OBJECTS[number].capitalize()}, read from the pictures; {HOW_READ}\n\n"
        text += f"{read_table(results, data, names, SYSTEM_NAMES, f'objects_{number}')}\n"
    if data.objects:
        text += "\nOne object with a colour-shape pair that no training scene has:\n\n"
        text += f"{read_table(results, data, names, SYSTEM_NAMES, 'held_out')}\n"
    return f"{text}\n{strips(data, ['real', *names], SYSTEM_NAMES, images)}"


HOW_READ = (
    "strictly (`all`: the exact reader finds what the caption says), and leniently: each blob is "
    "taken for the shape, colour and size that fit it best, however badly."
)


def judged_table(
    results: Results, data: DataSet, names: Sequence[str], labels: dict[str, str]
) -> str:
    """By the judge."""
    real = results.study.cells.finished(cell_name(data.name, "real", 0))
    rows = [("system", "steps", *JUDGED.values())]
    if real is not None:
        of_real = (real["figures"].get(key) for key in JUDGED)
        rows.append(
            ("real pictures", "", *("" if one is None else f"{one:.3f}" for one in of_real))
        )
    rows += [
        (
            labels.get(name, name),
            steps(results, data, name),
            *(results.shown(data.name, name, key) for key in JUDGED),
        )
        for name in names
    ]
    return table(rows)


def steps(results: Results, data: DataSet, system: str) -> str:
    """That a system was trained for, in each of its stages."""
    for cell in results.cells(data.name, system).values():
        stages = cell["steps"] if isinstance(cell["steps"], list) else [cell["steps"]]
        return " + ".join(f"{n:,}" for n in stages)
    return NOTHING


def read_table(
    results: Results, data: DataSet, names: Sequence[str], labels: dict[str, str], group: str
) -> str:
    """By the reader of scenes."""
    keys = [*READ, "relation"] if group == "objects_2" else list(READ)
    heads = [READ.get(key, key) for key in keys[1:]]
    rows = [("system", "all", *(f"{head}, lenient" for head in heads))]
    for name in names:
        paths = ["strict/exact", *(f"lenient/{key}" for key in keys[1:])]
        shown = (results.shown(data.name, name, f"{group}/{path}") for path in paths)
        rows.append((labels.get(name, name), *shown))
    return table(rows)


def strips(data: DataSet, names: Sequence[str], labels: dict[str, str], images: Path) -> str:
    """What each draws of the same captions, by its first seed."""
    captions = [caption for _, caption in shown_pairs(data)]
    text = "Drawn of the same captions with the same seeds: " + "; ".join(captions) + ".\n\n"
    rows = [("", "")]
    for name in names:
        file = images / f"{cell_name(data.name, name, 0)}.png"
        if file.exists():
            rows.append(
                (labels.get(name, name), f"![]({images.parent.name}/{images.name}/{file.name})")
            )
    return text + table(rows) + "\n"


def ablation_section(results: Results, data: DataSet, images: Path) -> str:
    """Each system with and without its own idea."""
    text = "## Each system's own idea\n\nScenes of one object.\n"
    for ablation in ABLATIONS:
        names = [system.name for system in ablation.systems()]
        base = names[0]
        labels = {base: SYSTEM_NAMES[ablation.base.name]}
        labels |= {n: n.removeprefix(f"{base}_").replace("_", " ") for n in names[1:]}
        text += f"\n### {SYSTEM_NAMES[ablation.base.name]}\n\n"
        text += f"{judged_table(results, data, names, labels)}\n\n"
        text += f"{read_table(results, data, names, labels, 'objects_1')}\n\n"
        text += strips(data, names, labels, images)
    return text


def forgetting_section(results: Results) -> str:
    """InfoMax-GAN's discriminator as its data change."""
    cells = [results.study.cells.finished(f"forgetting_{n}") for n in range(results.seeds)]
    found = [cell["figures"] for cell in cells if cell is not None]
    rows = [("local–global contrast", "phase", "this shape", "earlier shapes")]
    for arm in ("with", "without"):
        for phase in range(len(found[0][arm]) if found else 0):
            of_phase = [one[arm][phase] for one in found]
            earlier = [one["earlier"] for one in of_phase if "earlier" in one]
            rows.append(
                (arm, str(phase + 1), spread([one["now"] for one in of_phase]), spread(earlier))
            )
    return f"""## InfoMax-GAN against forgetting

Without text, 32 pixels, scenes of one shape after another: the share of pairs of a real and a drawn
picture that the discriminator puts in the right order, of the shape it is trained on and of those
before (real pictures of that shape, and what the generator drew then).

{table(rows)}
"""
