"""A picture and a question -> an answer."""

from collections.abc import Iterator

from pipelines.bidirectional_pipeline import BidirectionalPipeline
from pipelines.demo_page.answers import note, texts, unknown_words
from pipelines.demo_page.asking import asks, text_box, upload
from pipelines.demo_page.limits import checked_text, read_upload


def ask_tab(pipe: BidirectionalPipeline) -> None:
    def ask(path: str | None, question: str) -> Iterator[str]:
        question = checked_text(question, "question")
        answers = pipe.answer([read_upload(path)], [question])
        encoded = pipe.codec.encode_question(question, pipe.transformer.config.text_positions)
        yield texts(answers) + note(unknown_words(encoded, "question"))

    asks("Ask", ask, lambda: [upload(), text_box("Question", "something about the picture")])
