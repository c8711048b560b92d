"""Work that shows what it has so far, as a generator of what it shows."""

import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from threading import Event
from typing import TypeVar

Shown = TypeVar("Shown")
Seen = TypeVar("Seen")
Result = TypeVar("Result")

PAUSE = 0.15
"""Seconds between two looks at least, and as long as a look takes: the work comes first."""


class NobodyWatchesError(Exception):
    """Stops work that no one waits for any more."""


def watched(
    work: Callable[[Callable[[Shown], None]], Result], look: Callable[[Shown], Seen]
) -> Generator[Seen, None, Result]:
    """Runs `work` on a thread. Yields what `look` makes of the newest of what the work hands to its
    argument, returns what it returns, and raises what it raises. Closing the generator stops the
    work where it shows something next."""
    shown: SimpleQueue[Shown | None] = SimpleQueue()
    left = Event()

    def show(something: Shown) -> None:
        if left.is_set():
            raise NobodyWatchesError
        shown.put(something)

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(work, show)
        running.add_done_callback(lambda _: shown.put(None))
        try:
            while (newest := _newest(shown)) is not None:
                began = time.monotonic()
                yield look(newest)
                wait([running], max(PAUSE, time.monotonic() - began))
        finally:
            left.set()
        return running.result()


def _newest(shown: "SimpleQueue[Shown | None]") -> Shown | None:
    """Waits for something, and skips what something newer has come after; None is the end."""
    item = shown.get()
    while item is not None and not shown.empty():
        item = shown.get()
    return item
