"""The page: a tab for each thing that the checkpoint was trained for."""

import gradio as gr

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.demo_page.ask import ask_tab
from pipelines.demo_page.complete import complete_tab
from pipelines.demo_page.describe import describe_tab
from pipelines.demo_page.draw import draw_tab
from pipelines.demo_page.drawing_form import DrawingForm
from pipelines.demo_page.limits import MOST_WAITING

UPLOADS_LIVE = 3600
"""Seconds; they go with the server, too."""


def build_page(pipe: BidirectionalPipeline, name: str, max_images: int) -> gr.Blocks:
    """`name` says which checkpoint it is; `max_images` are drawn at once at most."""
    form = DrawingForm(pipe, max_images)
    with gr.Blocks(
        title=f"{name} – drawscribe",
        analytics_enabled=False,
        delete_cache=(UPLOADS_LIVE // 4, UPLOADS_LIVE),
    ) as page:
        gr.Markdown(f"# drawscribe\n\n{name}")
        with gr.Tabs():
            if "text_to_image" in pipe.tasks:
                with gr.Tab("Draw"):
                    draw_tab(form)
            if "image_to_text" in pipe.tasks:
                with gr.Tab("Describe"):
                    describe_tab(pipe)
            if "question_answering" in pipe.tasks:
                with gr.Tab("Ask"):
                    ask_tab(pipe)
            if "text_to_image" in pipe.tasks:
                with gr.Tab("Complete"):
                    complete_tab(form)
    return page.queue(max_size=MOST_WAITING, api_open=False)
