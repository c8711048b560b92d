"""The page: a tab for each thing that the checkpoint was trained for."""

import gradio as gr

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.demo_page.ask import ask_tab
from pipelines.demo_page.complete import complete_tab
from pipelines.demo_page.describe import describe_tab
from pipelines.demo_page.draw import draw_tab
from pipelines.demo_page.drawing_form import DrawingForm
from pipelines.demo_page.limits import MOST_WAITING
from pipelines.fingerprints import folder_fingerprint

UPLOADS_LIVE = 3600
"""Seconds; they go with the server, too."""


def build_page(pipe: BidirectionalPipeline, name: str, max_images: int) -> gr.Blocks:
    """Of a pipeline that was loaded from a folder; `name` says which, and `max_images` are drawn at
    once at most."""
    assert pipe.checkpoint is not None
    form = DrawingForm(pipe, max_images, folder_fingerprint(pipe.checkpoint.root))
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
