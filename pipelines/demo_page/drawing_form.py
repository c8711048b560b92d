"""What draw and complete share: their controls, and pictures that fill in while they are drawn."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.command_line import dtype_name
from pipelines.demo_page.answers import note, pictures, unknown_words
from pipelines.demo_page.asking import slider, text_box
from pipelines.demo_page.limits import (
    MOST_CANDIDATES,
    checked_number,
    checked_seed,
    checked_text,
)
from pipelines.demo_page.watching import watched
from pipelines.drawing import DrawingSettings
from pipelines.sketches import Sketch, paint_sketch


@dataclass(frozen=True)
class DrawingForm:
    """Draws what its controls say; at most `max_images` pictures at once. `checkpoint` is the
    fingerprint of the weights."""

    pipe: BidirectionalPipeline
    max_images: int
    checkpoint: str

    @property
    def describes(self) -> bool:
        """Whether captions can be read from what is drawn."""
        return "image_to_text" in self.pipe.tasks

    def prompt(self) -> gr.Textbox:
        return text_box("Prompt", "what the picture should show")

    def controls(self) -> list[Component]:
        """In the order in which `draw` takes their values."""
        with gr.Row():
            number = slider("Pictures", 1, self.max_images, 1)
            rerank = slider("Best of", 1, MOST_CANDIDATES, 1, visible=self.describes)
        with gr.Row():
            guidance = slider("Guidance", 0, 10, self.pipe.sampling.guidance_scale, step=0.1)
            seed = text_box("Seed", "another one each time")
        return [number, rerank, guidance, seed]

    def draw(
        self,
        prompt: str,
        number: float,
        rerank: float,
        guidance: float,
        seed: str,
        **completing: Any,
    ) -> Iterator[str]:
        """Yields the pictures so far, then the pictures, then these with their captions.

        Raises:
            UserError: something that was asked for is out of range.
        """
        prompt = checked_text(prompt, "prompt")
        first = checked_seed(seed)
        settings = self.pipe.drawing_settings(
            num_images=checked_number(number, "the number of pictures", self.max_images),
            rerank=checked_number(rerank, "the number of candidates", MOST_CANDIDATES),
            guidance_scale=guidance,
            **completing,
        )
        (encoded,) = self.pipe.encode_prompts([prompt])
        remark = unknown_words(encoded, "prompt")

        def work(watch: Callable[[Sketch], None]) -> list:
            return self.pipe.draw([prompt], [first], settings, watch=watch)

        def look(sketch: Sketch) -> str:
            images = paint_sketch(sketch, self.pipe.tokenizer)
            return pictures(images) + note(f"{sketch.share:.0%} drawn. {remark}")

        images = yield from watched(work, look)
        seeds = range(first, first + settings.candidates, settings.rerank)
        said = [{"text": prompt, "seed": seed, **self._said(settings)} for seed in seeds]
        if self.describes:
            yield pictures(images, said) + note(f"Reading what they show … {remark}")
            yield pictures(images, said, self.pipe.describe(images)) + note(remark)
        else:
            yield pictures(images, said) + note(remark)

    def _said(self, settings: DrawingSettings) -> dict[str, Any]:
        """What a file says of itself, as those of `generate_images.py` do."""
        said = settings.said
        if settings.complete is not None:
            said |= {"complete": "an upload", "keep_rows": settings.keep_rows}
        dtype = dtype_name(self.pipe.transformer.dtype)
        return {**said, "dtype": dtype, "checkpoint": self.checkpoint}
