"""Distributions: how many values fell into which bucket. Counted in integers, read at scrape time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import attrs


@attrs.frozen
class Distribution:
    """A histogram at one moment."""

    bounds: tuple[float, ...] = ()
    """Upper bounds of the buckets, inclusive, ascending; one more bucket takes what is above the last."""
    counts: tuple[int, ...] = (0,)
    """Per bucket, not accumulated; one more than bounds."""
    sum: float = 0.0
    """Of all values."""


class Histogram:
    """Takes values since the start of the process."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def read(self) -> Distribution:
        return Distribution(self._bounds, tuple(self._counts), self._sum)
