"""One-stage GANs and the two-stage system at equal minutes, and what each GAN's own idea is worth:
one command, one page.

    python benchmarks/gans.py --output runs/gans [--emoji DIR] [--page FILE.md]

Every system trains for as many steps as fit into the same minutes of two idle cores, by `PACE`
(`--pace` measures that anew), so that nothing else that a machine does changes a result; arms take
as many steps as the system that they are arms of. All are measured on test rows, by the exact
reader of scenes and by a dual encoder that taught none of them. `--emoji` is a folder with
`train.parquet` and `test.parquet` (columns `image`, `text`). A finished cell is never run again,
nor one that is in the page's JSON: start the same command anew to go on, or twice at once, each on
a core of its own (`OMP_NUM_THREADS=1 taskset -c 0`).
"""

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gan_study.forgetting import forget
from gan_study.pace import PACE, measure_pace
from gan_study.page import write_page
from gan_study.runs import GANStudy
from gan_study.systems import ABLATIONS, ARM_MINUTES, MINUTES, TWO_STAGE, data_sets, systems_on
from study.cells import cell_name
from study.command_line import parse_study
from study.page import page_file

from pipelines.command_line import UserError, command

Job = tuple[str, Callable[[], bool]]
"""A cell's name, and what fills it; False where another process is at it."""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="One-stage GANs beside the two-stage system.")
    parser.add_argument("--emoji", metavar="DIR", help="captioned drawings, beside the scenes")
    parser.add_argument("--only", default="", metavar="TEXT", help="cells whose name has it")
    parser.add_argument(
        "--page", metavar="FILE.md", help="default: gans.md in the output; beside it its JSON"
    )
    parser.add_argument("--pace", action="store_true", help="measure seconds a step, and stop")
    return parse_study(parser, argv)


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv)
    study = GANStudy(Path(arguments.output), data_sets(arguments.emoji), PACE, arguments.shorten)
    if arguments.pace:
        print(json.dumps(measure_pace(study), indent=1))
        return
    page = page_file(arguments.page, study.folder / "gans.md")
    if arguments.shorten == 1:
        study.cells.restore(page.with_suffix(".json"))
    chosen = [job for job in jobs(study, arguments.seeds) if arguments.only in job[0]]
    if not chosen:
        raise UserError(
            f"--only {arguments.only}: no cell's name has it; such as scenes_xmc_gan_0."
        )
    for number, (name, run) in enumerate(chosen, start=1):
        if study.cells.finished(name) is None:
            print(f"[{number} of {len(chosen)}] {name}", file=sys.stderr)
            if run():
                write_page(study, arguments.seeds, page)
    write_page(study, arguments.seeds, page)
    print(page)


def jobs(study: GANStudy, seeds: int) -> list[Job]:
    """All cells, seed by seed, so that a study that is stopped early has every system."""
    found: list[Job] = []
    one_object = study.data["one_object"]
    whole = [one for one in study.data.values() if one is not one_object]
    arms = [arm for ablation in ABLATIONS for arm in ablation.systems()]
    for one in study.data.values():
        found.append((cell_name(one.name, "real", 0), partial(study.real, one)))
    for seed in range(seeds):
        for one in whole:
            for system in systems_on(one):
                name = cell_name(one.name, system.name, seed)
                found.append((name, partial(study.gan, one, system, seed, MINUTES)))
            name = cell_name(one.name, TWO_STAGE, seed)
            found.append((name, partial(study.two_stage, one, seed, MINUTES)))
        for arm in arms:
            name = cell_name(one_object.name, arm.name, seed)
            found.append((name, partial(study.gan, one_object, arm, seed, ARM_MINUTES)))
        found.append((f"forgetting_{seed}", partial(forget, study, seed)))
    return found


if __name__ == "__main__":
    main()
