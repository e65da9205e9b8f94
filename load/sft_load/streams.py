"""What a receiver gets in one slot: counted by the header alone, or checked down to the payload."""

from __future__ import annotations

from collections import deque

from sft.webrtc.rtp import PADDING_BIT
from sft_load.histogram import Histogram
from sft_load.packets import FILLER, read_tag

PAUSE_SECONDS = 0.2
"""A slot that was silent for so long may go on anywhere in the same source: its speaker had paused."""

REMEMBERED = 256
"""Sequence numbers of a slot that are missing, the newest ones; what comes later than these came before."""

ASKED = 0x10000
"""Added to ``due``: the next packet takes the long way, and tells whose it is."""


class Stream:
    """Counts by sequence numbers, which SRTP leaves in the clear (RFC 3711 section 3.1).

    The receiver itself moves ``due`` on when the packet that is due comes, and calls :meth:`count` for every
    other: this is the path of tens of thousands of packets a second.
    """

    __slots__ = ("_first", "_missing", "_source", "due", "lost", "reordered", "repeated")

    def __init__(self) -> None:
        self.due = -1
        """The sequence number that is next in order, or that and ASKED; -1: nothing has come."""
        self.lost = 0
        """Sequence numbers passed over; one that comes late is taken off again."""
        self.reordered = 0
        self.repeated = 0
        """Packets that came twice."""
        self._first = -1
        self._missing: deque[int] = deque(maxlen=REMEMBERED)
        self._source = 0

    @property
    def highest(self) -> int:
        """The newest sequence number; -1: nothing has come."""
        return -1 if self.due < 0 else self.due - 1 & 0xFFFF

    def count(self, sequence: int, source: int) -> None:
        """A packet that is not simply the next one. ``source``: its CSRC; 0: none, as padding may have."""
        if self.due < 0:
            self.due = self._first = sequence
        due = self.due & 0xFFFF
        step = (sequence - due + 0x8000 & 0xFFFF) - 0x8000
        if step >= 0:
            self.lost += step
            self._missing.extend(due + more & 0xFFFF for more in range(max(0, step - REMEMBERED), step))
            self._source = self._source or source
            self.due = (sequence + 1 & 0xFFFF) + (0 if self._source else ASKED)
        elif sequence in self._missing:
            self._missing.remove(sequence)
            self.reordered += 1
            self.lost -= 1
        elif self._first - sequence & 0xFFFF <= REMEMBERED and sequence != self._first:
            self.reordered += 1  # it was overtaken by the first one that came, so nobody missed it
        else:
            self.repeated += 1

    def look(self) -> int:
        """Whose packets have come since the last look: the first one's CSRC; 0: nobody's."""
        source, self._source = self._source, 0
        if self.due >= 0:
            self.due |= ASKED
        return source


class CheckedStream(Stream):
    """One whose packets are decrypted and read.

    Between two packets of one source the sender's numbers must rise as the sequence numbers do. More: a
    loss that the server has hidden, counted as lost, unless the slot had paused. Less: wrong. Padding, with
    which a server tries how much a link takes, has a sequence number and nothing to read.
    """

    __slots__ = ("_came", "_label", "_number", "_padding", "_rid", "_sequence", "hidden", "latency", "wrong")

    def __init__(self, latency: Histogram) -> None:
        super().__init__()
        self.wrong = 0
        """Packets that are not what their header says, or not where they belong."""
        self.hidden = 0
        self.latency = latency
        self._label = self._rid = self._number = self._sequence = -1
        self._padding = 0  # packets of it since the newest of media
        self._came = 0.0

    def check(self, packet: bytes, came: float) -> None:
        """A decrypted packet of the slot's SSRC; ``came``: when, in seconds of the real-time clock.

        It has been counted already."""
        if packet[0] & PADDING_BIT:
            self._padding += 1
            return
        tag = read_tag(packet)
        whole = tag is not None and tag.whole and packet[tag.end :] == FILLER[: len(packet) - tag.end]
        if tag is None or not whole or tag.label != tag.csrc:
            self.wrong += 1
            return
        self.latency.add(came - tag.sent_at)
        steps = (tag.sequence - self._sequence + 0x8000 & 0xFFFF) - 0x8000
        if tag.label == self._label and tag.rid == self._rid:
            if steps <= 0:  # late: counted as reordered, and its place was seen to be empty
                return
            jump = tag.number - self._number - (steps - self._padding)
            if jump < 0:
                self.wrong += 1
            elif jump and came - self._came < PAUSE_SECONDS:
                self.hidden += jump
        self._label, self._rid = tag.label, tag.rid
        self._number, self._sequence, self._padding, self._came = tag.number, tag.sequence, 0, came
