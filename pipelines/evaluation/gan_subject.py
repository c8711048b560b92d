"""A one-stage GAN, measured like any other checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.command_line import UserError
from pipelines.data.attributes import listed
from pipelines.data.scenes import Scene, attribute_words
from pipelines.data.sources import SCENE_ATTRIBUTES, Source, UnreadableRow
from pipelines.evaluation.figures import Figures
from pipelines.evaluation.rows import Block
from pipelines.evaluation.scene_accuracy import Share, drawing_accuracy, scene_set
from pipelines.evaluation.subjects import Made, longest_that_fits
from pipelines.gan_pipeline import GANPipeline
from pipelines.text_encoding import refuse_other_characters


class GANSubject:
    """Draws of the rows' captions; or, without text, as many pictures as there are rows.

    Args:
        attribute_column: whose attributes are given to its memory of them; None takes those that
            the caption names.

    Raises:
        UserError: there is no memory to give them to.
    """

    picture_size: tuple[int, int] | None
    checkpoint: Path | None = None

    def __init__(self, pipe: GANPipeline, attribute_column: str | None = None) -> None:
        self.pipe, self.tasks, self.picture_size = pipe, pipe.tasks, pipe.picture_size
        self.attribute_column = attribute_column
        if attribute_column is not None and pipe.attributes is None:
            raise UserError(
                "--attribute-column gives attributes to a GAN's memory of them, and this GAN has "
                "none; leave it out."
            )

    def suit(self, source: Source, chosen: Sequence[int]) -> None:
        """Raises:
        UserError: a caption has characters that the text encoder does not read, or attributes are
            given, and the memory knows none of the rows'.
        """
        reading, known = self.pipe.texts, self.pipe.attributes
        some_known = self.attribute_column is None or known is None
        characters = reading is not None and reading.reads_characters
        if some_known and not characters:
            return
        for row in chosen:
            try:
                texts = source.texts(row)
            except UnreadableRow:
                continue
            if characters:
                for prompt in texts.all_captions[:1]:  # the one that is drawn
                    refuse_other_characters(prompt)
            some_known = some_known or bool(self.known(texts.attributes))
        if some_known:
            return
        assert known is not None
        raise UserError(
            f"column {self.attribute_column!r} has none of the attributes that the GAN knows "
            f"({listed(known.phrases)}); name another --attribute-column, or leave it out."
        )

    def make(self, block: Block) -> Made:
        if self.pipe.texts is None:
            drawn = [self.pipe.generate_images(seed=row)[0] for row in block.rows]
            return Made(drawn=drawn, seeds=block.rows, paired=False)
        prompts = [longest_that_fits(text, self._fits) for text in block.prompts]
        given = None
        if self.attribute_column is not None:
            given = [self.known(attributes) for attributes in block.attributes]
        drawn = self.pipe.generate_images(prompts, seed=block.rows, attributes=given)
        return Made(drawn=drawn, seeds=block.rows, prompts=block.prompts)

    def known(self, attributes: Sequence[str]) -> list[str]:
        """Of a row's, those that the memory knows: of rarer ones it has learned nothing."""
        assert self.pipe.attributes is not None
        return self.pipe.attributes.known(attributes)

    def _fits(self, text: str) -> bool:
        """Into the text encoder's positions."""
        assert self.pipe.texts is not None
        texts = self.pipe.texts
        return not texts.codec.encode_caption(text, texts.positions).truncated


def scenes_drawn(
    subject: GANSubject, scenes: int, language: str, share: Share
) -> dict[str, Figures]:
    """Shares of 1 by group: so many test scenes of one and of two objects, and of one with a
    colour-shape pair that no training scene has, every attribute right."""
    pipe, column = subject.pipe, subject.attribute_column

    def given(scene: Scene) -> list[str]:
        assert column is not None
        return subject.known(attribute_words(scene, SCENE_ATTRIBUTES[column]))

    def exact(split: str, objects: int) -> float:
        chosen = scene_set(split, scenes, objects, pipe.picture_size, 0, language)
        attributes = None if column is None else given
        return drawing_accuracy(pipe, chosen, share=share, attributes=attributes).exact

    return {
        "scene_sets": {
            "one_object_accuracy": exact("test", 1),
            "two_object_accuracy": exact("test", 2),
            "held_out_pair_accuracy": exact("held_out", 1),
        }
    }
