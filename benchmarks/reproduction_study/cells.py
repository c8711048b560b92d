"""A cell of the study: one training run and its figures, kept so that it is never run twice."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines import train_bidirectional, train_dual_encoder, train_tokenizer
from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.data.settings import DataSettings
from pipelines.data.sources import open_source
from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.dual_encoder_metrics import frechet_distance, r_precision
from pipelines.evaluation.pairs import Pairs, read_pairs
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.metrics import METRICS, read_metrics
from pipelines.training.storage import replace_file
from reproduction_study.arms import GUMBEL, LONGER, Arm, Dataset, cell_name
from reproduction_study.figures import Figures, pair_figures, scene_figures
from vq import VQGAN

POINTS = 6
"""Of a validation curve."""
PATHS = ("data.source=", "tokenizer=")
"""Overrides that are of a machine, and not kept."""
SIDE = 64
"""Of all pictures, in pixels."""
QUIET = ("training.trackers=[]", "training.sample_every=0")


class Study:
    """The folder of a study: `runs/` are training runs, `cells/` the figures of finished ones.

    Args:
        shorten: divides every number of steps, to see that everything runs.
    """

    def __init__(self, folder: Path, shorten: int = 1) -> None:
        self.folder = folder
        self.shorten = shorten
        (folder / "cells").mkdir(parents=True, exist_ok=True)

    def take_up(self, file: Path) -> None:
        """Counts the cells in a JSON that `all_cells` was written to as run.

        Raises:
            UserError: it is no such file.
        """
        try:
            cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} holds no cells of a study ({error!r}).") from error
        for name, found in cells.items():
            self.cell(name, lambda found=found: found)

    def all_cells(self) -> dict[str, Figures]:
        """Of all that are finished, by name."""
        files = sorted((self.folder / "cells").glob("*.json"))
        return {file.stem: json.loads(file.read_text()) for file in files}

    def finished(self, name: str) -> Figures | None:
        """The figures of a cell, if it has been run."""
        file = self.folder / "cells" / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else None

    def cell(self, name: str, run: Callable[[], Figures]) -> Figures:
        """The figures of a cell, run now if need be."""
        found = self.finished(name)
        if found is None:
            start = time.monotonic()
            found = run()
            found.setdefault("seconds", time.monotonic() - start)
            text = json.dumps(found, indent=2) + "\n"
            file = self.folder / "cells" / f"{name}.json"
            replace_file(file, lambda writing: writing.write_text(text, encoding="utf-8"))
        return found

    def train(self, main: Callable, config: str, run: Path, overrides: list[str]) -> None:
        """One training run to its end, taken up where an earlier one was interrupted.

        Raises:
            KeyboardInterrupt: it was asked to stop, which a training run does by ending early.
        """
        arguments = ["--config", config, *QUIET, *overrides, f"output={run}"]
        main([*arguments, "--resume"] if run.exists() else arguments)
        if max(row.get("progress", 0.0) for row in read_metrics(run / METRICS)) < 1:
            raise KeyboardInterrupt
        shutil.rmtree(run / "state", ignore_errors=True)

    def steps(self, steps: int, points: int | None = None) -> list[str]:
        """The overrides for a budget, and for so many points of a validation curve."""
        count = max(2, steps // self.shorten)
        found = [f"training.steps={count}", "training.minutes=null", "training.save_every=200"]
        return found + ([f"training.validate_every={max(1, count // points)}"] if points else [])

    def tokenizer(self, data: Dataset, kind: str) -> Figures:
        """Trains the tokenizer `kind` of a data set, once for all arms and seeds."""
        run = self.folder / "runs" / f"{data.name}_tokenizer_{kind}"
        steps = data.tokenizer_steps * (LONGER if kind == "dvae" else 1)

        def train() -> Figures:
            overrides = [*data.overrides, *self.steps(steps)]
            if kind == "dvae":
                overrides += [*GUMBEL, f"objective.temperature_steps={3 * steps // 4}"]
            self.train(train_tokenizer.main, data.tokenizer_config, run, overrides)
            tokenizer = VQGAN.from_pretrained(open_checkpoint(run, "tokenizer").tokenizer)
            last = [row for row in read_metrics(run / METRICS) if "validation_psnr" in row][-1]
            return {
                "psnr": last["validation_psnr"],
                "codebook_size": tokenizer.config.codebook_size,
                "minutes": minutes(run),
            }

        return self.cell(f"{data.name}_tokenizer_{kind}", train)

    def dual_encoder(self, data: Dataset) -> Matcher:
        """Trains the dual encoder that measures a data set, and opens it."""
        run = self.folder / "runs" / f"{data.name}_dual_encoder"

        def train() -> Figures:
            overrides = [*data.overrides, *self.steps(data.dual_encoder_steps)]
            self.train(train_dual_encoder.main, data.dual_encoder_config, run, overrides)
            return {"minutes": minutes(run)}

        self.cell(f"{data.name}_dual_encoder", train)
        return Matcher.from_pretrained(run / "checkpoint")

    def real(self, data: Dataset) -> Figures:
        """What the dual encoder says of the real pictures of the test part: how good a drawing can
        look to it, and how far apart sets of one distribution come out."""

        def measure() -> Figures:
            matcher = self.dual_encoder(data)
            test, train = (pairs_of(data, split) for split in ("test", "train"))
            features = matcher.image_features(test.pictures)
            other = matcher.image_features(train.pictures[:: len(train.pictures) // len(features)])
            texts = matcher.text_features(test.captions)
            return {
                "r_precision": r_precision(features, texts, test.captions),
                "distance": frechet_distance(features, other[: len(features)]),
            }

        return self.cell(f"{data.name}_real", measure)

    def arm(self, data: Dataset, arm: Arm, seed: int) -> Figures:
        """Trains an arm with a seed, and measures it."""
        name = cell_name(data.name, arm.name, seed)
        run = self.folder / "runs" / name

        def train() -> Figures:
            overrides = [*data.overrides, *data.model, *self.steps(arm.length * data.steps, POINTS)]
            if arm.end_to_end:
                overrides += data.reconstruction
            overrides += [*arm.changes, f"seed={seed}", "training.export=last"]
            tokenizer = self.folder / "runs" / f"{data.name}_tokenizer_{arm.tokenizer}"
            overrides += [f"tokenizer={tokenizer}", "tokenizer_config=null"]
            self.train(train_bidirectional.main, data.config, run, overrides)
            start = time.monotonic()
            pipe = BidirectionalPipeline.from_pretrained(run)
            matcher = self.dual_encoder(data)
            if data.name == "scenes":
                figures = scene_figures(pipe, arm.sampling, matcher)
            else:
                figures = pair_figures(pipe, prompts_among(pairs_of(data, "test"), pipe), matcher)
            return {
                "figures": figures,
                "curve": curve(run),
                "minutes": minutes(run),
                "minutes_measuring": (time.monotonic() - start) / 60,
                "overrides": [one for one in overrides if not one.startswith(PATHS)],
            }

        return self.cell(name, train)


def minutes(run: Path) -> float:
    """That a run trained for."""
    return max(row.get("minutes", 0.0) for row in read_metrics(run / METRICS))


def curve(run: Path) -> list[dict[str, Any]]:
    """The validation losses of a run, by step."""
    kept = ("step", "validation_text_to_image", "validation_image_to_text", "validation_psnr")
    rows = [row for row in read_metrics(run / METRICS) if "validation_loss" in row]
    return [{name: row[name] for name in kept if name in row} for row in rows]


def pairs_of(data: Dataset, split: str) -> Pairs:
    """The captioned pictures of a part, at the size that is drawn."""
    settings = DataSettings(
        source=data.source, split=split, text_column=["text", "text_zh"], size=SIDE
    )
    return read_pairs(open_source(settings), (SIDE, SIDE), most=10**6)


def prompts_among(pairs: Pairs, pipe: BidirectionalPipeline) -> Pairs:
    """Those whose names are not too long to be prompts."""
    positions = pipe.transformer.config.text_positions
    fits = [
        not pipe.codec.encode_caption(caption, positions).truncated for caption in pairs.captions
    ]

    def kept(rows: list) -> list:
        return [row for row, fit in zip(rows, fits, strict=True) if fit]

    return Pairs(
        kept(pairs.pictures), kept(pairs.captions), kept(pairs.references), pairs.unreadable
    )
