"""A slot: one send-only stream the server offers a receiver; its SSRC never changes."""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from sft.forwarding.source import CLOCK_RATES, Source, Stored
from sft.model import MediaKind
from sft.webrtc.rtcp import cname_chunk

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.plugin.interfaces import EngineSlot
    from sft.webrtc.rtcp import ReportBlock

HISTORY = 32
"""Attachments remembered to answer NACKs that reach back behind a switch, or behind padding."""


MAX_EXPECTED = 1 << 15
"""Packets between two reports; more are nonsense."""

REPORTS_OF_FIRST = 2
"""Sender reports on a slot's first source that do not wait for their turn: lip sync needs two to begin."""

REPORTS_OF_NEXT = 20
"""The same on each later source: libwebrtc draws its line of RTP over wall time through the last twenty, and
it is wrong as long as those on the source before are among them."""


class Grant(IntEnum):
    """How much of what is wanted a video slot may show."""

    PAUSED = 0
    LOW = 1
    """The small layer."""
    FULL = 2


class Reported(NamedTuple):
    """What the receiver last reported, and how far the slot was then."""

    highest: int
    lost: int
    lsr: int
    sequence: int
    sent: int
    fresh: bool
    """The differences to the next report say something."""


class Attachment:
    """Which packets a stretch of a slot's outgoing numbers was made of."""

    __slots__ = ("csrc", "first", "last", "ring", "sequence_offset", "timestamp_offset")

    def __init__(self, source: Source, first: int, sequence_offset: int, timestamp_offset: int) -> None:
        self.ring: list[Stored | None] = source.ring
        self.csrc = source.csrc
        self.first = first  # extended outgoing sequence numbers, both inclusive
        self.last: int | None = None  # None: still attached
        self.sequence_offset = sequence_offset
        self.timestamp_offset = timestamp_offset


class Slot:
    """Nothing here is touched per packet: numbers and counts are derived from the source's."""

    __slots__ = (
        "_octets",
        "_packets",
        "_sequence",
        "_time",
        "_timestamp",
        "attachments",
        "engine_slot",
        "first_number",
        "granted",
        "kind",
        "label",
        "lost",
        "mid",
        "nacked",
        "named",
        "owed",
        "pending",
        "quality",
        "receiver",
        "repeated",
        "repeats",
        "reported",
        "since",
        "source",
        "ssrc",
        "told_at",
        "wanted",
    )

    def __init__(
        self,
        receiver: Endpoint,
        kind: MediaKind,
        mid: str,
        ssrc: int,
        label: str,
        sequence: int,
        timestamp: int,
    ) -> None:
        """``sequence`` (below 2^15, so that SRTP's roll-over counter starts in step) and ``timestamp``
        are the first to go out."""
        self.receiver = receiver
        self.kind = kind
        self.mid = mid
        self.ssrc = ssrc
        self.label = label
        """UUID text: CNAME, stream and track id at once (protocol section 3.4.3)."""
        self.named = cname_chunk(ssrc, label)
        """The same as it stands in reports."""
        self.engine_slot: EngineSlot | None = None

        self.source: Source | None = None
        self.since = 0.0
        """When the source was attached."""
        self.owed = 0
        """Sender reports that do not wait for their turn, as the source is new."""
        self.told_at = 0.0
        """When the last sender report went out."""
        self.first_number = 0
        """The source's number the attachment began with."""
        self.attachments: deque[Attachment] = deque(maxlen=HISTORY)
        self._sequence = sequence - 1  # last sent, extended
        self._timestamp = timestamp - 1
        self._time: float | None = None  # when that was
        self._packets = 0
        self._octets = 0

        # Video: what CONFSTREAMS asked for, and the layer whose keyframe is awaited.
        self.wanted: Endpoint | None = None
        self.quality = 0
        self.granted = Grant.FULL
        self.pending: Source | None = None

        self.repeated: dict[int, tuple[int, float]] = {}  # number -> (times, last time); see repair.py
        self.repeats = 0
        self.nacked = 0
        """Packets the receiver asked for again."""
        self.lost = 0
        """Cumulative loss as the receiver last reported it."""
        self.reported: Reported | None = None

    def attach(self, source: Source, now: float) -> None:
        """Go on with this source from its newest packet on, which has not been counted yet.

        The sequence goes on by one, the timestamp by the time that has passed. The caller calls
        ``source.reroute()`` when it has attached all slots.
        """
        number = source.numbering.last
        elapsed = 0.0 if self._time is None else now - self._time
        timestamp = self._timestamp + max(1, int(elapsed * CLOCK_RATES[self.kind]))
        sequence_offset = self._sequence + 1 - number
        timestamp_offset = timestamp - source.timestamp & 0xFFFFFFFF
        self.source = source
        self.since = now
        self.owed = REPORTS_OF_NEXT if self.attachments else REPORTS_OF_FIRST
        self.first_number = number
        self.attachments.append(Attachment(source, self._sequence + 1, sequence_offset, timestamp_offset))
        self._packets -= source.packets
        self._octets -= source.octets
        source.slots[self] = None
        if self.engine_slot is not None:
            self.engine_slot.attach(sequence_offset & 0xFFFF, timestamp_offset)

    def detach(self) -> Source | None:
        """Stop; returns the source, whose ``reroute()`` the caller calls."""
        source = self.source
        if source is None:
            return None
        self._sequence = self.last_sequence
        self._timestamp = source.timestamp + self.attachments[-1].timestamp_offset
        self._time = source.arrival
        self._packets += source.packets
        self._octets += source.octets
        self.attachments[-1].last = self._sequence
        self.source = None
        self.reported = None
        del source.slots[self]
        return source

    def take_report(self, block: ReportBlock) -> tuple[int, int]:
        """How many packets the receiver should have got since its last report, and how many of them were
        lost on the way from us: what we never had does not count.

        A block without news, because the slot is silent, begins anew. Losses at the end of what was sent
        show only when the slot is used again, and are old by then.
        """
        before, source = self.reported, self.source
        sent = self._packets + (source.packets if source is not None else 0)
        self.lost = block.lost
        last = self.last_sequence
        self.reported = Reported(block.highest, block.lost, block.lsr, last, sent, True)
        if before is None:
            return 0, 0
        expected = block.highest - before.highest & 0xFFFFFFFF
        if not expected:
            self.reported = before._replace(fresh=False)
        if not before.fresh or not expected < MAX_EXPECTED:
            return 0, 0
        missing = (last - before.sequence) - (sent - before.sent)
        return expected, block.lost - before.lost - missing

    @property
    def may_be_padded(self) -> bool:
        """Whether padding may follow what was sent: it must not stand between the packets of a frame, or
        receivers take the frame for incomplete. A frame's last packet has the marker bit."""
        if self.engine_slot is None or self.source is None:
            return self.engine_slot is not None
        newest = self.source.numbering.last
        stored = self.source.ring[newest & self.source.ring_mask]
        return stored is not None and stored[0] == newest and stored[1][1] >= 0x80

    def pad(self, count: int) -> tuple[int, int]:
        """Make room for so many packets of padding, which count as sent: gives the first one's sequence
        number, extended, and the timestamp of all. Only if it may be padded."""
        first = self.last_sequence + 1
        timestamp = self._timestamp
        self._packets += count
        source = self.source
        if source is None:
            self._sequence += count
        else:
            before = self.attachments[-1]
            before.last = first - 1
            timestamp = source.timestamp + before.timestamp_offset
            sequence_offset = before.sequence_offset + count
            self.first_number = source.numbering.last + 1
            self.attachments.append(
                Attachment(source, first + count, sequence_offset, before.timestamp_offset)
            )
            if self.engine_slot is not None:
                self.engine_slot.attach(sequence_offset & 0xFFFF, before.timestamp_offset)
            source.reroute()
        return first, timestamp & 0xFFFFFFFF

    @property
    def last_sequence(self) -> int:
        """Extended sequence number of the newest packet sent."""
        if self.source is None:
            return self._sequence
        return self.source.numbering.last + self.attachments[-1].sequence_offset

    @property
    def packets(self) -> int:
        """Packets sent, repeats included."""
        return self._packets + self.repeats + (self.source.packets if self.source else 0)

    @property
    def octets(self) -> int:
        """Payload bytes sent, without repeats."""
        return self._octets + (self.source.octets if self.source else 0)
