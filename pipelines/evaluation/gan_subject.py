"""A one-stage GAN, measured like any other checkpoint."""

from pipelines.evaluation.figures import Figures
from pipelines.evaluation.rows import Block
from pipelines.evaluation.scene_accuracy import Share, drawing_accuracy, scene_set
from pipelines.evaluation.subjects import Made, longest_that_fits
from pipelines.gan_pipeline import GANPipeline


class GANSubject:
    """Draws of the rows' captions; or, without text, as many pictures as there are rows."""

    picture_size: tuple[int, int] | None

    def __init__(self, pipe: GANPipeline) -> None:
        self.pipe, self.tasks, self.picture_size = pipe, pipe.tasks, pipe.picture_size

    def make(self, block: Block) -> Made:
        if self.pipe.texts is None:
            drawn = [self.pipe.generate_images(seed=row)[0] for row in block.rows]
            return Made(drawn=drawn, paired=False)
        prompts = [longest_that_fits(text, self._fits) for text in block.prompts]
        drawn = self.pipe.generate_images(prompts, seed=block.rows)
        return Made(drawn=drawn, prompts=block.prompts)

    def _fits(self, text: str) -> bool:
        """Into the text encoder's positions."""
        assert self.pipe.texts is not None
        texts = self.pipe.texts
        return not texts.codec.encode_caption(text, texts.positions).truncated


def scenes_drawn(pipe: GANPipeline, scenes: int, language: str, share: Share) -> dict[str, Figures]:
    """Shares of 1 by group: so many test scenes of one and of two objects, and of one with a
    colour-shape pair that no training scene has, every attribute right."""
    size = pipe.picture_size

    def exact(split: str, objects: int) -> float:
        chosen = scene_set(split, scenes, objects, size, 0, language)
        return drawing_accuracy(pipe, chosen, share=share).exact

    return {
        "scene_sets": {
            "one_object_accuracy": exact("test", 1),
            "two_object_accuracy": exact("test", 2),
            "held_out_pair_accuracy": exact("held_out", 1),
        }
    }
