"""How late the worker's loop comes: the time between a timer's deadline and its callback."""

from __future__ import annotations

from collections import deque

from sft.calls.timers import TimerHeap
from sft.histogram import Histogram

PERIOD = 0.05
SAMPLES = 1200  # the last minute
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0)


class LoopLag:
    """Samples a periodic timer; seconds."""

    def __init__(self, timers: TimerHeap, now: float) -> None:
        self._timer = timers.timer(self._sample)
        self._expected = now + PERIOD
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self.distribution = Histogram(BOUNDS)
        """Of all samples."""
        self._timer.set(self._expected)

    def worst(self, seconds: float = 1.0) -> float:
        recent = int(seconds / PERIOD)
        return max(list(self._samples)[-recent:], default=0.0)

    def percentile(self, share: float) -> float:
        """Over the last minute; ``share`` between 0 and 1."""
        ordered = sorted(self._samples)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0

    def stop(self) -> None:
        self._timer.cancel()

    def _sample(self, now: float) -> None:
        while self._expected <= now:  # a long stall counts for each sample it swallowed
            self._samples.append(now - self._expected)
            self.distribution.observe(now - self._expected)
            self._expected += PERIOD
        self._timer.set(self._expected)
