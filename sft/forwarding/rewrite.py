"""Sequence numbers: what a source's become on their way to the slots (packet-path rule 7)."""

from __future__ import annotations

from bisect import bisect_right

WINDOW = 1024
"""How far behind the newest a packet may be: the SRTP replay window."""

MAX_DROPOUT = 3000
"""A larger step forward is a restart of the sender, not loss (RFC 3550 appendix A.1)."""

LATE = -1
"""In place of a number: too late to be forwarded."""


class Numbering:
    """Extends the 16-bit sequence numbers of one source and closes the gaps of dropped packets.

    A packet that was lost upstream leaves exactly one gap, a reordered one keeps its place. A packet we
    drop for everybody leaves none if it came in order; if it came late its gap is already out.
    ``number + a slot's offset`` is that slot's outgoing sequence number.
    """

    __slots__ = ("_dropped", "_oldest", "base", "dropped", "highest", "received")

    def __init__(self, first: int) -> None:
        """``first``: sequence number of the packet that will be given to :meth:`place` first."""
        self.base = first
        """Extended sequence number since which ``received`` counts (RFC 3550 appendix A.1)."""
        self.highest = first - 1
        """Highest extended sequence number seen."""
        self._oldest = first  # nothing before it is placed
        self.received = 0
        self.dropped = 0
        """How far the numbers given out are behind the source's own."""
        self._dropped: list[int] = []  # extended numbers closed up, ascending, at least the last WINDOW

    @property
    def last(self) -> int:
        """The highest number given out."""
        return self.highest - self.dropped

    def place(self, sequence: int) -> int:
        """The number of a packet that is forwarded, or LATE."""
        step = sequence - self.highest & 0xFFFF
        self.received += 1
        if 0 < step < 0x8000:
            self.highest += step
            if step > MAX_DROPOUT:
                self._restart(step)
            return self.highest - self.dropped
        behind = -step & 0xFFFF
        place = self.highest - behind
        if behind >= WINDOW or place < self._oldest:
            return LATE
        dropped_after = len(self._dropped) - bisect_right(self._dropped, place)
        return place - self.dropped + dropped_after

    def drop(self, sequence: int) -> None:
        """A packet that is forwarded to nobody."""
        step = sequence - self.highest & 0xFFFF
        self.received += 1
        if not 0 < step < 0x8000:
            return
        self.highest += step
        if step > MAX_DROPOUT:
            self._restart(step)
        self.dropped += 1
        self._dropped.append(self.highest)
        if len(self._dropped) > 2 * WINDOW:
            del self._dropped[:WINDOW]

    def close(self) -> None:
        """Place nothing from before the next packet."""
        self._oldest = self.highest + 1

    def _restart(self, step: int) -> None:
        """The sender jumped: go on with a gap of one, and take nothing from before the jump."""
        self.dropped += step - 2
        self._dropped.clear()
        self.base = self._oldest = self.highest
        self.received = 1
