"""Work that is watched."""

import time
from threading import Event

import pytest

from pipelines.demo_page import watching
from pipelines.demo_page.watching import NobodyWatchesError, watched


def result_of(generator):
    """What it yields, and what it returns."""
    seen = []
    while True:
        try:
            seen.append(next(generator))
        except StopIteration as end:
            return seen, end.value


def test_the_newest_is_looked_at_and_the_result_returned(monkeypatch):
    monkeypatch.setattr(watching, "PAUSE", 0)
    looked = Event()

    def work(show):
        show(1)
        looked.wait(10)
        return "done"

    def look(number):
        looked.set()
        return -number

    assert result_of(watched(work, look)) == ([-1], "done")


def test_what_something_newer_has_come_after_is_skipped():
    def work(show):
        for number in range(1000):
            show(number)
        return number

    seen, result = result_of(watched(work, int))
    assert result == 999 and len(seen) < 10


def test_what_the_work_raises_is_raised():
    def work(show):
        show(1)
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        result_of(watched(work, int))


def test_work_stops_where_no_one_watches_any_more():
    ended = []

    def work(show):
        try:
            end = time.monotonic() + 3
            while time.monotonic() < end:
                show(1)
                time.sleep(0.01)
        except NobodyWatchesError:
            ended.append(True)
            raise

    watching_it = watched(work, int)
    assert next(watching_it) == 1
    watching_it.close()
    assert ended
