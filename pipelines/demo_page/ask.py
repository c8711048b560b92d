"""A picture and a question -> an answer."""

from collections.abc import Iterator

import gradio as gr

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.demo_page.answers import texts
from pipelines.demo_page.asking import asks, text_box, upload
from pipelines.demo_page.limits import checked_text, read_upload


def ask_tab(pipe: BidirectionalPipeline) -> None:
    def ask(path: str | None, question: str) -> Iterator[str]:
        question = checked_text(question, "question")
        yield texts(pipe.answer([read_upload(path)], [question]))

    with gr.Row():
        with gr.Column():
            picture = upload()
            question = text_box("Question", "something about the picture")
            buttons = gr.Row()
        with gr.Column():
            answer = gr.HTML(elem_classes="answer")
    with buttons:
        asks("Ask", ask, [picture, question], answer)
