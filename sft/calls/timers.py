"""The one timer heap of a worker.

Holds deadlines, knows no clock: whoever drives it calls :meth:`TimerHeap.run_due` with the time and
sleeps until :attr:`TimerHeap.next_deadline`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable


class Timer:
    """One deadline; may be moved or cancelled any time, also from its own callback."""

    __slots__ = ("_callback", "_heap", "when")

    def __init__(self, heap: TimerHeap, callback: Callable[[float], None]) -> None:
        self._heap = heap
        self._callback = callback
        self.when: float | None = None

    def set(self, when: float | None) -> None:
        """Call back once at ``when``, instead of any deadline set before; None cancels."""
        if when == self.when:
            return
        self.when = when
        if when is not None:
            self._heap._push(when, self)

    def cancel(self) -> None:
        self.when = None

    def fire(self, now: float) -> None:
        self.when = None
        self._callback(now)


class TimerHeap:
    """Deadlines in order. A moved timer leaves its old entry behind, which is skipped when it comes up."""

    __slots__ = ("_entries", "_serial", "on_earlier")

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, Timer]] = []
        self._serial = 0
        self.on_earlier: Callable[[float], None] = lambda when: None
        """Called with the new deadline when it lies before all others: the driver sleeps too long."""

    def timer(self, callback: Callable[[float], None]) -> Timer:
        """A timer that is not set yet."""
        return Timer(self, callback)

    def call_at(self, when: float, callback: Callable[[float], None]) -> Timer:
        timer = Timer(self, callback)
        timer.set(when)
        return timer

    @property
    def next_deadline(self) -> float | None:
        entries = self._entries
        while entries and entries[0][2].when != entries[0][0]:
            heapq.heappop(entries)
        return entries[0][0] if entries else None

    def run_due(self, now: float) -> int:
        """Fire what is due; what callbacks set for ``now`` or earlier waits for the next run, so
        that a callback which is always due cannot keep packets waiting. Returns how many were due."""
        due: list[Timer] = []
        entries = self._entries
        while entries and entries[0][0] <= now:
            when, _, timer = heapq.heappop(entries)
            if timer.when == when:
                due.append(timer)
        fired = 0
        try:
            for timer in due:
                fired += 1
                if timer.when is not None and timer.when <= now:
                    timer.fire(now)
        finally:
            for timer in due[fired:]:  # only after an exception: the rest is still due
                if timer.when is not None:
                    self._push(timer.when, timer)
        return fired

    def __len__(self) -> int:
        return sum(1 for when, _, timer in self._entries if timer.when == when)

    def _push(self, when: float, timer: Timer) -> None:
        earlier = not self._entries or when < self._entries[0][0]
        self._serial += 1
        heapq.heappush(self._entries, (when, self._serial, timer))
        if len(self._entries) > 64 and self._serial % 64 == 0:
            self._compact()
        if earlier:
            self.on_earlier(when)

    def _compact(self) -> None:
        """Moving a timer often must not grow the heap."""
        live = [entry for entry in self._entries if entry[2].when == entry[0]]
        if len(live) * 2 < len(self._entries):
            heapq.heapify(live)
            self._entries = live
