"""Text -> pictures."""

from pipelines.demo_page.asking import asks
from pipelines.demo_page.drawing_form import DrawingForm


def draw_tab(form: DrawingForm) -> None:
    asks("Draw", form.draw, lambda: [form.prompt(), *form.controls()])
