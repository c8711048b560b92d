"""How a tab asks: one queue for all of them, as there is one model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder

from pipelines.demo_page.answers import telling
from pipelines.demo_page.limits import LONGEST_TEXT

QUEUE = "model"
NARROW = 200
"""Pixels, below which a control gets a line of its own."""


def upload() -> gr.Image:
    """A picture, which a handler is given as its path."""
    picture = gr.Image(
        label="Picture", type="filepath", sources=["upload", "clipboard"], buttons=[], height=260
    )
    # Its own opens the file; what is wrong with it, `read_upload` says. No class of ours, as gradio
    # would write a stub file beside its source.
    picture.preprocess = path_of  # type: ignore[method-assign]
    return picture


def path_of(payload: ImageData | None) -> str | None:
    """Where an upload lies; None of anything else. A request can name any file of this machine, and
    gradio refuses only what says of itself that it is one."""
    if payload is None or payload.path is None:
        return None
    path = Path(payload.path).resolve()
    return str(path) if path.is_relative_to(Path(get_upload_folder()).resolve()) else None


def text_box(label: str, placeholder: str) -> gr.Textbox:
    return gr.Textbox(
        label=label, placeholder=placeholder, max_length=LONGEST_TEXT, min_width=NARROW
    )


def slider(label: str, least: float, most: float, value: float, **options: Any) -> gr.Slider:
    """In whole steps unless told otherwise."""
    settings = {"step": 1, "buttons": [], "min_width": NARROW, **options}
    return gr.Slider(least, most, value, label=label, **settings)


def asks(
    button: str, handler: Callable[..., Iterator[str]], controls: Callable[[], list[Component]]
) -> None:
    """A tab's contents: what `controls` makes, and beside it, or below it on a phone, what the
    handler yields of their values when `button` is pressed, or Enter in a text box. `Stop` ends
    it."""
    with gr.Row():
        with gr.Column():
            inputs = controls()
            with gr.Row():
                pressed = gr.Button(button, variant="primary", min_width=120)
                stopping = gr.Button("Stop", min_width=80, scale=0)
        with gr.Column():
            answer = gr.HTML(elem_classes="answer")
    boxes = [box.submit for box in inputs if isinstance(box, gr.Textbox)]
    event = gr.on(
        [pressed.click, *boxes],
        telling(handler),
        inputs,
        answer,
        concurrency_id=QUEUE,
        concurrency_limit=1,
        show_progress="minimal",
        scroll_to_output=True,
        api_visibility="private",
    )
    stopping.click(None, cancels=event, api_visibility="private")
