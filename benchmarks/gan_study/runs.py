"""The study's training runs, and what is measured of each."""

import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from study.cells import Figures, cell_name
from study.figures import Draw, drawing_of, real_figures
from study.runs import Study, budget, kept, train
from study.strips import write_strip

from gan_study.figures import pair_figures, scene_figures
from gan_study.rows import SHOWN, all_pairs, attributes_of_test, shown_pairs
from gan_study.systems import TEXT_ENCODER_STEPS, TWO_STAGE, DataSet, System
from pipelines import train_bidirectional, train_dual_encoder, train_gan, train_tokenizer
from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.dual_encoder.matcher import Matcher
from pipelines.gan_pipeline import GANPipeline

JUDGE_SEED = 1
"""Not the text encoders', so that no GAN is judged by what it was taught by."""
GAP = 2
"""Pixels between pictures."""


class GANStudy(Study):
    """GANs, two-stage systems and dual encoders; beside their runs and cells `strips/`, pictures of
    some test texts by each.

    Args:
        data: all data sets, by name.
        pace: seconds that a step takes on an idle machine, by `pace_name`: what minutes are
            counted by, so that what else the machine does changes no result.
    """

    def __init__(
        self, folder: Path, data: dict[str, DataSet], pace: dict[str, float], shorten: int = 1
    ) -> None:
        super().__init__(folder, shorten)
        self.data, self.pace = data, pace
        self.strips = folder / "strips"
        self.strips.mkdir(exist_ok=True)

    def steps(self, name: str, minutes: float) -> int:
        """That so many minutes last for, by the pace of that name."""
        return self.shortened(round(60 * minutes / self.pace[name]))

    def gan(self, data: DataSet, system: System, seed: int, minutes: float) -> bool:
        """Trains a GAN for so many minutes, and measures it; False where another process is at
        it."""
        name = cell_name(data.name, system.name, seed)
        run = self.run_folder(name)
        steps = self.steps(pace_name(data, system.config), minutes)
        overrides = [*data.overrides, *system.changes, *budget(steps), f"seed={seed}"]
        if system.given_attributes:
            overrides.append(f"data.attribute_column={data.attributes}")

        def measure() -> Figures:
            texts = self.text_encoder(data, system.reads_characters)
            theirs = [*overrides, "text_encoder_config=null", f"text_encoder={texts}"]
            train(train_gan.main, f"configs/gan/{system.config}.yaml", run, theirs)
            draw = drawing_with(GANPipeline.from_pretrained(run), data, system)
            return {"steps": steps, **self._measured(data, name, draw)}

        return self.cells.run(name, kept(overrides), measure, wait=False) is not None

    def two_stage(self, data: DataSet, seed: int, minutes: float) -> bool:
        """The same of a tokenizer and a transformer, which share the minutes."""
        parts = data.two_stage
        assert parts is not None
        name = cell_name(data.name, TWO_STAGE, seed)
        run, tokenizer = self.run_folder(name), self.run_folder(f"{name}_tokenizer")
        first = self.steps(pace_name(data, "tokenizer"), parts.tokenizer_minutes)
        second = self.steps(pace_name(data, "transformer"), minutes - parts.tokenizer_minutes)
        overrides = [*data.overrides, *parts.model, *budget(second), f"seed={seed}"]
        overrides += ["training.export=last"]
        ids = [*data.overrides, *budget(first), f"seed={seed}"]

        def measure() -> Figures:
            train(train_tokenizer.main, parts.tokenizer, tokenizer, ids)
            theirs = [*overrides, "tokenizer_config=null", f"tokenizer={tokenizer}"]
            train(train_bidirectional.main, parts.transformer, run, theirs)
            draw = drawing_of(BidirectionalPipeline.from_pretrained(run))
            return {"steps": [first, second], **self._measured(data, name, draw)}

        settings = [*kept(overrides), f"tokenizer.steps={first}"]
        return self.cells.run(name, settings, measure, wait=False) is not None

    def text_encoder(self, data: DataSet, reads_characters: bool) -> Path:
        """The checkpoint of the text encoder that the GANs of a data set share."""
        if reads_characters and data.character_encoder is not None:
            return self._dual_encoder(data, "characters", data.character_encoder, 0)
        return self._dual_encoder(data, "sentences", data.dual_encoder, 0)

    def judge(self, data: DataSet) -> Matcher:
        """The dual encoder that all are measured by."""
        found = self._dual_encoder(data, "judge", data.dual_encoder, JUDGE_SEED)
        return Matcher.from_pretrained(found)

    def real(self, data: DataSet) -> bool:
        """What the judge says of real pictures, which bounds what it can say of drawn ones; False
        where another process is at it."""
        name = cell_name(data.name, "real", 0)

        def measure() -> Figures:
            pictures = [Image.fromarray(picture) for picture, _ in shown_pairs(data)]
            write_strip(self.strips / f"{name}.png", pictures, GAP)
            parts = (all_pairs(data, split) for split in ("test", "train"))
            return {"figures": real_figures(self.judge(data), *parts)}

        return self.cells.run(name, kept(data.overrides), measure, wait=False) is not None

    def _dual_encoder(self, data: DataSet, name: str, config: str, seed: int) -> Path:
        """The checkpoint of one that a data set has of its own, or shares."""
        data = self.data[data.encoders]
        run = self.run_folder(f"{data.name}_{name}")
        steps = self.shortened(TEXT_ENCODER_STEPS)
        overrides = [*data.overrides, *budget(steps), f"seed={seed}"]
        with self.cells.claimed(run.name, wait=True):
            train(train_dual_encoder.main, config, run, overrides)
        return run / "checkpoint"

    def _measured(self, data: DataSet, name: str, draw: Draw) -> Figures:
        start = time.monotonic()
        captions = [caption for _, caption in shown_pairs(data)]
        write_strip(self.strips / f"{name}.png", draw(captions, range(SHOWN)), GAP)
        judge = self.judge(data)
        if data.objects:
            figures = scene_figures(draw, judge, data.objects)
        else:
            figures = pair_figures(draw, judge, all_pairs(data, "test"))
        return {"figures": figures, "minutes_measuring": (time.monotonic() - start) / 60}


def pace_name(data: DataSet, config: str) -> str:
    """Of what a step's seconds are taken from: each part of the two-stage system has its own on
    each data set; a GAN has one, measured on scenes, for its arms and for all data."""
    return f"{data.name}_{config}" if config in ("tokenizer", "transformer") else config


def drawing_with(pipe: GANPipeline, data: DataSet, system: System) -> Draw:
    """How a GAN draws of test captions: where it is given attributes, with those of their rows."""
    given = attributes_of_test(data) if system.given_attributes else None

    def draw(captions: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        attributes, known = None, pipe.attributes
        if given is not None and known is not None:
            attributes = [known.known(given[caption]) for caption in captions]
        return pipe.generate_images(captions, seed=seeds, attributes=attributes)

    return draw
