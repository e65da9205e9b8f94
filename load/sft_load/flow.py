"""One client's audio or video: something that is sent at a rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sft_load.fleet import Fleet

BEHIND_SECONDS = 1.0
"""Who is later than this leaves out what it has missed: a burst of it would only break more."""


class Flow:
    """Calls ``send`` ``rate`` times a second, and again for what is late."""

    def __init__(self, fleet: Fleet, send: Callable[[], None], rate: float) -> None:
        self._fleet = fleet
        self._send = send
        self._interval = 1.0 / rate
        self._due = 0.0
        self._timer = fleet.timers.timer(self._run)

    def start(self, now: float, phase: float) -> None:
        """``phase``: when the first one leaves, in intervals from now."""
        self._due = now + phase * self._interval
        self._timer.set(self._due)

    def stop(self) -> None:
        self._timer.cancel()

    def _run(self, now: float) -> None:
        if now - self._due > BEHIND_SECONDS:
            while self._due + self._interval <= now:  # as late as if it had been sent
                self._fleet.lateness.add(now - self._due)
                self._due += self._interval
        while self._due <= now:
            self._fleet.lateness.add(now - self._due)
            self._due += self._interval
            self._send()
        self._timer.set(self._due)
