"""Pictures -> lines of captions, a part of a long list at a time."""

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from pipelines.bidirectional_pipeline import BidirectionalPipeline, warn_of_unknown
from pipelines.command_line import UserError, text_given
from pipelines.data.reading_ahead import looking_ahead
from pipelines.data.transforms import read_image, to_array
from pipelines.describing import Caption
from pipelines.drawing import PICTURES_AT_ONCE, sequences_that_fit


@dataclass
class CaptionedPart:
    """The lines (JSON) of some pictures, by their numbers; of those that cannot be read, why."""

    numbers: list[int] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    unreadable: dict[int, str] = field(default_factory=dict)


def read_named(path: str) -> Image.Image:
    """A picture that a line of JSON can name.

    Raises:
        UserError: it cannot be read, or the name is no text.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UserError(f"{path!r} has a name that is not in UTF-8; rename it.") from None
    return read_image(path)


class CaptionWriter:
    """Writes captions of pictures, or judges given ones, as a command line says.

    together: how many pictures are described together at most.
    """

    def __init__(self, pipe: BidirectionalPipeline, arguments: argparse.Namespace) -> None:
        """Raises:
        UserError: something in the command line is wrong.
        """
        self.pipe, self.arguments = pipe, arguments
        self.settings = {"num_captions": arguments.num_captions, **text_given(arguments)}
        pipe.require("image_to_text")
        if arguments.score:
            self.given = pipe.encode_prompts(arguments.score)
            warn_of_unknown(arguments.score, self.given)
        else:
            pipe.describe([], seed=arguments.seed, **self.settings)
        several = max(arguments.num_beams, arguments.num_captions)
        at_once = sequences_that_fit(pipe.transformer, PICTURES_AT_ONCE)
        self.together = max(1, at_once // several)

    def read(self, path: str) -> np.ndarray:
        """A picture, as small as the model sees it."""
        return to_array(read_named(path), self.pipe.picture_size)

    def captions(self, pictures: Sequence[np.ndarray]) -> list[list[Caption]]:
        """Of each picture.

        Raises:
            UserError: a setting leaves no room for a caption.
        """
        texts, each = self.arguments.score, self.arguments.num_captions
        if texts:
            scores = self.pipe.describer.score(pictures, self.given)
            return [list(map(Caption, texts, row)) for row in scores]
        said = self.pipe.describe(pictures, seed=self.arguments.seed, **self.settings)
        return [said[first : first + each] for first in range(0, len(said), each)]


def captioned_parts(
    writer: CaptionWriter, pictures: list[str], parts: list[list[int]], threads: Executor
) -> Iterator[CaptionedPart]:
    """Of each part of the pictures; those of the next ones are read meanwhile."""
    reading = ([threads.submit(writer.read, pictures[n]) for n in part] for part in parts)
    for numbers, read in zip(parts, looking_ahead(reading), strict=True):
        yield _captioned(writer, pictures, CaptionedPart(numbers), read)


def _captioned(
    writer: CaptionWriter, paths: list[str], part: CaptionedPart, read: "list[Future[np.ndarray]]"
) -> CaptionedPart:
    """The part with its lines."""
    pictures, readable = [], []
    for number, future in zip(part.numbers, read, strict=True):
        try:
            pictures.append(future.result())
            readable.append(paths[number])
        except UserError as error:
            part.unreadable[number] = str(error).rstrip(".")
    captions = writer.captions(pictures) if pictures else []
    for path, of_picture in zip(readable, captions, strict=True):
        part.lines += [_line(path, caption) for caption in of_picture]
    return part


def _line(path: str, caption: Caption) -> str:
    likelihood = round(caption.log_likelihood, 4)
    row = {"image": path, "caption": caption.text, "log_likelihood": likelihood}
    return json.dumps(row, ensure_ascii=False)
