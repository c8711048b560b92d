"""Work that begins before its result is asked for."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def looking_ahead(items: Iterable[Item], ahead: int = 2) -> Iterator[Item]:
    """The items, each asked for while those `ahead` before it are at work."""
    waiting: deque[Item] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > ahead:
            yield waiting.popleft()
    yield from waiting
