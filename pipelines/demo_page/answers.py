"""What the page shows: pictures, texts, and what was wrong, as HTML."""

import base64
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from html import escape
from typing import Any

from PIL import Image

from pipelines.command_line import UserError, in_short, is_out_of_memory
from pipelines.data.text_tokenizer import EncodedText
from pipelines.describing import Caption
from pipelines.picture_files import png_info

SMALL = 128
"""Pictures with fewer pixels a side are shown with their pixels as squares."""


def telling(handler: Callable[..., Iterator[str]]) -> Callable[..., Iterator[str]]:
    """A handler that yields what the page shows, last of all what was wrong. A bug keeps its
    traceback, in the terminal."""

    @wraps(handler)
    def run(*values: Any) -> Iterator[str]:
        try:
            yield from handler(*values)
        except UserError as error:
            yield wrong(str(error))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            yield wrong(f"out of memory ({in_short(error)}); draw fewer pictures at once.")

    return run


def wrong(sentence: str) -> str:
    return f'<p class="wrong" role="alert">{escape(sentence[:1].upper() + sentence[1:])}</p>'


def note(sentence: str) -> str:
    return f'<p class="note" role="status">{escape(sentence)}</p>' if sentence else ""


def unknown_words(encoded: EncodedText, name: str) -> str:
    """A sentence on words of a prompt or question (`name`) that the checkpoint does not know."""
    if not encoded.unknown:
        return ""
    return (
        f"{encoded.unknown} of {len(encoded.ids) - 2} tokens of the {name} are unknown to this "
        "checkpoint."
    )


def pictures(
    images: Sequence[Image.Image],
    said: Sequence[Mapping[str, Any]] = (),
    captions: Sequence[Caption] = (),
) -> str:
    """Pictures side by side, with what was read from each below it. `said` is what each file says
    of itself (as `png_info` takes it), which is named by its seed; without any the pictures are not
    done, and cannot be saved."""
    figures = []
    for k, image in enumerate(images):
        small = ' class="small"' if max(image.size) < SMALL else ""
        address = _address(image, said[k] if said else None)
        caption = f"<q>{escape(captions[k].text)}</q>" if captions else ""
        if said:
            file = f"seed {int(said[k]['seed'])}.png"
            caption += f'<a href="{address}" download="{file}">{file}</a>'
        figures.append(
            f'<figure><img{small} src="{address}" alt="picture {k + 1}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return f'<div class="pictures">{"".join(figures)}</div>'


def texts(said: Sequence[Caption]) -> str:
    """Captions or answers, the best first, with how likely each is."""
    items = "".join(
        f"<li><q>{escape(one.text)}</q> <small>log-likelihood {one.log_likelihood:.2f}</small></li>"
        for one in said
    )
    return f'<ol class="texts">{items}</ol>'


def _address(image: Image.Image, said: Mapping[str, Any] | None) -> str:
    """The picture itself: no file is written for it."""
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=None if said is None else png_info(said))
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
