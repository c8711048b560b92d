"""The top rows of a picture -> the rest of it."""

from collections.abc import Iterator
from typing import Any

from gradio.components import Component

from pipelines.demo_page.asking import asks, slider, upload
from pipelines.demo_page.drawing_form import DrawingForm
from pipelines.demo_page.limits import checked_number, read_upload


def complete_tab(form: DrawingForm) -> None:
    rows = form.pipe.transformer.config.grid_height

    def complete(path: str | None, keep_rows: float, *values: Any) -> Iterator[str]:
        picture = read_upload(path)
        kept = checked_number(keep_rows, "the number of rows to keep", rows - 1)
        yield from form.draw(*values, complete=picture, keep_rows=kept)

    def controls() -> list[Component]:
        return [
            upload(),
            slider(f"Rows to keep, of {rows}", 1, rows - 1, rows // 2),
            form.prompt(),
            *form.controls(),
        ]

    asks("Complete", complete, controls)
