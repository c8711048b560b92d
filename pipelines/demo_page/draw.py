"""Text -> pictures."""

import gradio as gr

from pipelines.demo_page.asking import asks
from pipelines.demo_page.drawing_form import DrawingForm


def draw_tab(form: DrawingForm) -> None:
    with gr.Row():
        with gr.Column():
            prompt = form.prompt()
            controls = form.controls()
            buttons = gr.Row()
        with gr.Column():
            answer = gr.HTML(elem_classes="answer")
    with buttons:
        asks("Draw", form.draw, [prompt, *controls], answer, stop=True)
