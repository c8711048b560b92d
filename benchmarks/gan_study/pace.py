"""How long a step of each system takes, measured side by side on an idle machine."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

from study.runs import QUIET

from gan_study.runs import GANStudy, pace_name
from gan_study.systems import SYSTEMS
from pipelines import train_bidirectional, train_gan, train_tokenizer
from pipelines.training.metrics import METRICS, read_metrics

STEPS = (
    "training.steps=30",
    "training.minutes=null",
    "training.log_every=10",
    "training.save_every=0",
    "training.validate_every=0",
)
TURNS = 2

PACE = {
    "gan_cls": 0.1193,
    "gan_int_cls": 0.1643,
    "xmc_gan": 0.3253,
    "adma_gan": 0.1941,
    "infomax_gan": 0.2082,
    "dual_contrastive": 0.2008,
    "scenes_tokenizer": 0.0995,
    "scenes_transformer": 0.388,
    "emoji_tokenizer": 0.1441,
    "emoji_transformer": 0.5992,
}
"""Seconds of a step by `gans.py --pace`: two idle cores of an AMD EPYC without AMX, torch 2.15, 30
November 2026."""

Run = tuple[str, Path, Callable[[], None]]
"""Whose pace it is, the run's folder, and what trains into it."""


def measure_pace(study: GANStudy) -> dict[str, float]:
    """Seconds of a step by name: of each run the median of its reports but for the first, in which
    memory is found and kernels are chosen; of these the median over turns, in which all follow each
    other, so that a drift of the machine's speed meets all of them."""
    seconds: dict[str, list[float]] = {}
    for _ in range(TURNS):
        for name, run, train in runs(study):
            shutil.rmtree(run, ignore_errors=True)
            train()
            rows = [row for row in read_metrics(run / METRICS) if "steps_per_second" in row]
            pace = median(1 / row["steps_per_second"] for row in rows[1:])
            seconds.setdefault(name, []).append(pace)
    return {name: round(median(turns), 4) for name, turns in seconds.items()}


def runs(study: GANStudy) -> Iterator[Run]:
    """Of each GAN, and of the two-stage system's parts on each data set."""

    def run_of(name: str, main: Callable[[list[str]], None], config: str, *changes: str) -> Run:
        folder = study.run_folder(f"pace_{name}")
        arguments = ["--config", config, *QUIET, *STEPS, *changes, f"output={folder}"]
        return name, folder, lambda: main(arguments)

    scenes = study.data["scenes"]
    for system in SYSTEMS:
        texts = study.text_encoder(scenes, system.reads_characters)
        changes = (*scenes.overrides, "text_encoder_config=null", f"text_encoder={texts}")
        config = f"configs/gan/{system.config}.yaml"
        yield run_of(pace_name(scenes, system.config), train_gan.main, config, *changes)
    for one in study.data.values():
        parts = one.two_stage
        if parts is None:
            continue
        name = pace_name(one, "tokenizer")
        first = run_of(name, train_tokenizer.main, parts.tokenizer, *one.overrides)
        yield first
        changes = (*one.overrides, *parts.model, "tokenizer_config=null", f"tokenizer={first[1]}")
        name = pace_name(one, "transformer")
        yield run_of(name, train_bidirectional.main, parts.transformer, *changes)
