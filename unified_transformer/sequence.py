"""The one sequence and its one rule.

    [CLS] t1 ... tm [SEP] [PAD]...  [BOI]  z1 ... zn
    '------- text, T positions ---'        '- n = h * w image positions -'

The physical order never changes; the direction only decides which positions are the source. From
image to text a question may be source too: then the text is `[CLS] question [SEP] [BOS] answer
[SEP]`, and the answer alone is target.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Direction = Literal["text_to_image", "image_to_text"]
DIRECTIONS: tuple[Direction, ...] = ("text_to_image", "image_to_text")
Task = Literal[Direction, "question_answering"]
TASKS: tuple[Task, ...] = (*DIRECTIONS, "question_answering")
"""What is trained and asked for: either direction, and answers to questions about the image."""


def direction_of(task: Task) -> Direction:
    """An answer, like a caption, is a text about an image."""
    return "text_to_image" if task == "text_to_image" else "image_to_text"


def allowed(query_is_source: Tensor, key_is_source: Tensor, key_is_earlier: Tensor) -> Tensor:
    """The rule without padding, elementwise: `source[k] or (not source[q] and k <= q)`."""
    return key_is_source | (~query_is_source & key_is_earlier)


def visible(real: Tensor, source: Tensor, queries: slice = slice(None)) -> Tensor:
    """The rule: `visible(q, k) = real[k] and (source[k] or (not source[q] and k <= q))`.

    `real` and `source` are boolean [batch, position]; returns boolean [batch, query, key], of the
    positions `queries` only, which saves the S x S mask where few are asked for.
    UniLM (1905.03197, section 2.3): the source sees itself, the target the source and its past.
    """
    position = torch.arange(real.shape[1], device=real.device)
    earlier = position[None, :] <= position[queries, None]
    return real[:, None, :] & allowed(source[:, queries, None], source[:, None, :], earlier)


@dataclass
class Sequence:
    """Roles of every position of a batch: boolean `real` and `source`, [batch, position].

    All image positions share one role (`image_is_source`). Whether all text positions do, is said
    by `has_question`. What implementations derive from the roles (masks) is kept in `cached`, so
    that it is computed once and not once per layer.
    """

    real: Tensor
    source: Tensor
    text_positions: int
    grid: tuple[int, int]
    image_is_source: bool
    has_question: bool = False
    _cache: dict[Hashable, Any] = field(default_factory=dict, repr=False)

    @property
    def image_slice(self) -> slice:
        """Where the image positions lie; [BOI] is directly before."""
        start = self.text_positions + 1
        return slice(start, start + self.grid[0] * self.grid[1])

    def visible(self, queries: slice = slice(None)) -> Tensor:
        """Boolean [batch, query, key] of the rule, patterns left aside."""
        return visible(self.real, self.source, queries)

    def cached(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """`make()`, once per key."""
        if key not in self._cache:
            self._cache[key] = make()
        return self._cache[key]


def build_sequence(
    text_length: Tensor,
    text_positions: int,
    grid: tuple[int, int],
    direction: Direction,
    question_length: Tensor | None = None,
) -> Sequence:
    """The roles of a batch of pairs.

    `text_length` [batch] counts the real text tokens, [CLS] or [BOS] and [SEP] included, and
    `question_length` [batch] those first ones of them that are a question about the image, [CLS]
    and [SEP] included; `text_positions` is T, the padded length; `grid` is (rows, columns).
    """
    image_positions = grid[0] * grid[1]
    device = text_length.device
    is_text = torch.arange(text_positions + 1 + image_positions, device=device) < text_positions
    position = torch.arange(is_text.shape[0], device=device)
    real = ~is_text[None, :] | (position[None, :] < text_length[:, None])
    image_is_source = direction == "image_to_text"
    source = (~is_text if image_is_source else is_text).expand_as(real)
    if question_length is not None:
        assert image_is_source, "questions are asked about an image"
        source = source | (position[None, :] < question_length[:, None])
    has_question = question_length is not None
    return Sequence(real, source, text_positions, grid, image_is_source, has_question)
