"""A picture -> captions."""

from collections.abc import Iterator

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.demo_page.answers import texts
from pipelines.demo_page.asking import asks, slider, upload
from pipelines.demo_page.limits import MOST_CAPTIONS, checked_number, read_upload


def describe_tab(pipe: BidirectionalPipeline) -> None:
    def describe(path: str | None, number: float) -> Iterator[str]:
        captions = checked_number(number, "the number of captions", MOST_CAPTIONS)
        picture = read_upload(path)
        yield texts(pipe.describe([picture], num_beams=MOST_CAPTIONS, num_captions=captions))

    asks("Describe", describe, lambda: [upload(), slider("Captions", 1, MOST_CAPTIONS, 3)])
