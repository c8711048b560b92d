"""The study's training runs, and what is measured of each."""

import time
from pathlib import Path
from typing import Any

from study.cells import Figures, cell_name
from study.figures import SCENES, real_figures
from study.pairs import Pairs, read_pairs, scene_pairs
from study.runs import Study, budget, kept, train
from tokenizer_figures import tokenizer_figures, validation_pixels

from pipelines import train_bidirectional, train_dual_encoder, train_tokenizer
from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.configuration.assembly.run_folder import CONFIGURATION
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import TokenizerRun
from pipelines.data.opening import open_source
from pipelines.data.settings import DataSettings
from pipelines.dual_encoder.matcher import Matcher
from pipelines.evaluation.scene_accuracy import scene_set
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.metrics import METRICS, read_metrics
from reproduction_study import decoder_control
from reproduction_study.arms import GUMBEL, LONGER, Arm, Dataset, two_stage_arm
from reproduction_study.figures import pair_figures, scene_figures
from reproduction_study.sampling_figures import sampling_figures
from vq import VQGAN

POINTS = 6
"""Of a validation curve."""


class ReproductionStudy(Study):
    """Tokenizers, dual encoders and arms of the second stage."""

    def steps(self, steps: int, points: int | None = None) -> list[str]:
        """The overrides for a budget, and for so many points of a validation curve."""
        count = self.shortened(steps)
        return budget(count) + (
            [f"training.validate_every={max(1, count // points)}"] if points else []
        )

    def tokenizer(self, data: Dataset, kind: str) -> None:
        """Trains the tokenizer `kind` of a data set, once for all arms and seeds."""
        name = f"{data.name}_tokenizer_{kind}"
        steps = data.tokenizer_steps * (LONGER if kind == "dvae" else 1)
        overrides = [*data.overrides, *self.steps(steps)]
        if kind == "dvae":
            overrides += [*GUMBEL, f"objective.temperature_steps={3 * steps // 4}"]
        run = self.run_folder(name)

        def measure() -> Figures:
            train(train_tokenizer.main, data.tokenizer_config, run, overrides)
            tokenizer = VQGAN.from_pretrained(open_checkpoint(run, "tokenizer").tokenizer).eval()
            config = load_configuration(run / CONFIGURATION, [], TokenizerRun)
            figures, _ = tokenizer_figures(tokenizer, validation_pixels(config))
            size = tokenizer.config.codebook_size
            return {**figures, "codebook_size": size, "minutes": minutes(run)}

        self.cells.run(name, kept(overrides), measure)

    def dual_encoder(self, data: Dataset) -> Matcher:
        """The dual encoder that measures a data set, trained once."""
        name = f"{data.name}_dual_encoder"
        overrides = [*data.overrides, *self.steps(data.dual_encoder_steps)]
        run = self.run_folder(name)

        def measure() -> Figures:
            train(train_dual_encoder.main, data.dual_encoder_config, run, overrides)
            return {"minutes": minutes(run)}

        self.cells.run(name, kept(overrides), measure)
        return Matcher.from_pretrained(run / "checkpoint")

    def real(self, data: Dataset) -> None:
        """What the dual encoder says of real pictures, which bounds what it can say of drawn
        ones."""

        def measure() -> Figures:
            matcher = self.dual_encoder(data)
            return real_figures(matcher, pairs_of(data, "test"), pairs_of(data, "train"))

        self.cells.run(f"{data.name}_real", [], measure)

    def overrides(self, data: Dataset, arm: Arm, seed: int) -> list[str]:
        """The configuration of an arm's run with a seed."""
        found = [*data.overrides, *data.model, *self.steps(arm.length * data.steps, POINTS)]
        if arm.end_to_end:
            found += data.reconstruction
        tokenizer = self.run_folder(f"{data.name}_tokenizer_{arm.tokenizer}")
        if arm.texts:
            found.append(f"text_encoder={self.run_folder(f'{data.name}_dual_encoder')}")
        found += [*arm.changes, f"seed={seed}", "training.export=last"]
        return [*found, f"tokenizer={tokenizer}", "tokenizer_config=null"]

    def finished(self, data: Dataset, arm: Arm, seed: int) -> bool:
        """Whether an arm has been run with a seed.

        Raises:
            UserError: it has, but with other settings.
        """
        settings = kept(self.overrides(data, arm, seed))
        return self.cells.finished(cell_name(data.name, arm.name, seed), settings) is not None

    def arm(self, data: Dataset, arm: Arm, seed: int, wait: bool = False) -> bool:
        """Trains an arm with a seed, and measures it; False where another process is at it."""
        name = cell_name(data.name, arm.name, seed)
        overrides = self.overrides(data, arm, seed)
        self.tokenizer(data, arm.tokenizer)
        if arm.texts:
            self.dual_encoder(data)
        run = self.run_folder(name)

        def measure() -> Figures:
            if arm.decoder_only:
                train(decoder_control.main, data.config, run, overrides)
                two_stage = two_stage_arm(data.name, arm.tokenizer)
                self.arm(data, two_stage, seed, wait=True)
                drawing = self.run_folder(cell_name(data.name, two_stage.name, seed))
                pipe = decoder_control.with_decoder(drawing, run)
            else:
                train(train_bidirectional.main, data.config, run, overrides)
                pipe = BidirectionalPipeline.from_pretrained(run)
            start = time.monotonic()
            return {
                "figures": self.figures(data, arm, pipe),
                "curve": curve(run),
                "minutes": minutes(run),
                "minutes_measuring": (time.monotonic() - start) / 60,
            }

        return self.cells.run(name, kept(overrides), measure, wait) is not None

    def figures(self, data: Dataset, arm: Arm, pipe: BidirectionalPipeline) -> Figures:
        """Of a trained arm, on the test part."""
        if data.name != "scenes":
            pairs = prompts_among(pairs_of(data, "test"), pipe)
            return pair_figures(pipe, pairs, self.dual_encoder(data))
        found = scene_figures(pipe, arm.two_objects)
        if arm.sampling:
            found["sampling"] = sampling_figures(pipe, self.dual_encoder(data))
        return found


def minutes(run: Path) -> float:
    """That a run trained for."""
    return max(row.get("minutes", 0.0) for row in read_metrics(run / METRICS))


def curve(run: Path) -> list[dict[str, Any]]:
    """The validation losses of a run, by step."""
    names = ("step", "validation_text_to_image", "validation_image_to_text")
    rows = [row for row in read_metrics(run / METRICS) if "validation_loss" in row]
    return [{name: row[name] for name in names if name in row} for row in rows]


def pairs_of(data: Dataset, split: str) -> Pairs:
    """The captioned pictures of a part, at the size that is drawn.

    Raises:
        UserError: they cannot be read.
    """
    size = (data.side, data.side)
    if data.name == "scenes":
        return scene_pairs(scene_set(split, SCENES, 1, size))
    settings = DataSettings(
        source=data.source, split=split, text_column=["text", "text_zh"], size=data.side
    )
    return read_pairs(open_source(settings), size)


def prompts_among(pairs: Pairs, pipe: BidirectionalPipeline) -> Pairs:
    """Those whose names are not too long to be prompts."""
    positions = pipe.transformer.config.text_positions
    fits = [
        not pipe.codec.encode_caption(caption, positions).truncated for caption in pairs.captions
    ]

    def fitting(rows: list) -> list:
        return [row for row, fit in zip(rows, fits, strict=True) if fit]

    return Pairs(fitting(pairs.pictures), fitting(pairs.captions), fitting(pairs.references))
