"""Quantiles of what was counted and not kept."""

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value", bound=Hashable)


def quantile(
    counts: Mapping[Value, int], share: float, key: Callable[[Value], Any] | None = None
) -> Value | None:
    """The least value that `share` of all do not exceed, ordered by `key`; None of none."""
    total, passed = sum(counts.values()), 0
    for value in sorted(counts, key=key):  # type: ignore[type-var, arg-type]
        passed += counts[value]
        if passed >= share * total:
            return value
    return None
