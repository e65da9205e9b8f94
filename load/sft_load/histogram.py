"""Distributions that can be added up over processes and subtracted over time."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

_STEP = 1.05
_BOUNDS = tuple(1e-5 * _STEP**power for power in range(300))
"""Seconds: from 10 microseconds to 22 seconds, each 5 % above the one before."""


class Histogram:
    """Counts of durations in seconds; a percentile is at most 5 % too high."""

    __slots__ = ("counts",)

    def __init__(self, counts: Iterable[int] = ()) -> None:
        self.counts = list(counts) or [0] * (len(_BOUNDS) + 1)

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(_BOUNDS, seconds)] += 1

    @property
    def total(self) -> int:
        return sum(self.counts)

    def percentile(self, share: float) -> float:
        """What ``share`` of the durations do not exceed; 0 if there are none."""
        left = self.total * share
        for count, bound in zip(self.counts, (*_BOUNDS, _BOUNDS[-1]), strict=True):
            left -= count
            if count and left <= 0:
                return bound
        return 0.0

    def __add__(self, other: Histogram) -> Histogram:
        return Histogram(a + b for a, b in zip(self.counts, other.counts, strict=True))

    def __sub__(self, other: Histogram) -> Histogram:
        return Histogram(a - b for a, b in zip(self.counts, other.counts, strict=True))
