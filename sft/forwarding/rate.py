"""How many bits per second a count of octets grows by."""

from __future__ import annotations

from collections import deque

WINDOW = 1.0
"""Seconds a rate is measured over."""


class RateMeter:
    """Sampled at control time; nothing is done per packet."""

    __slots__ = ("_samples", "rate")

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self.rate = 0.0
        """Bit/s over the last WINDOW; 0 before the second sample."""

    def sample(self, octets: int, now: float) -> None:
        """``octets``: counted since the beginning."""
        samples = self._samples
        samples.append((now, octets))
        while len(samples) > 2 and samples[1][0] <= now - WINDOW:
            samples.popleft()
        since, before = samples[0]
        if now > since:
            self.rate = (octets - before) * 8 / (now - since)
