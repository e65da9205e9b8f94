"""What media the tables of a worker carried, read at scrape time. Per packet: integer additions only.

A source and a slot count for themselves while they live; what they counted is kept here when they end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sft.forwarding.downlink import Reason
from sft.forwarding.keyframes import Cause
from sft.histogram import Histogram
from sft.model import MediaKind

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.forwarding.slot import Slot
    from sft.forwarding.source import Source

TRAFFIC = (*MediaKind, "rtcp", "control")
"""Kinds of traffic; ``control`` is STUN and DTLS, with the data channel in it."""

ROUND_TRIP_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0)
JITTER_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5)
"""Seconds."""

LOSS_BOUNDS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
"""Shares of packets; receivers report them in steps of 1/256."""


class Flow:
    """Packets and bytes of one kind in one direction."""

    __slots__ = ("octets", "packets")

    def __init__(self) -> None:
        self.packets = 0
        self.octets = 0

    def add(self, packets: int, octets: int) -> None:
        self.packets += packets
        self.octets += octets


class Carried:
    """Sums over sources and slots.

    Bytes of media are payload, of anything else datagrams without SRTCP's trailer. ``received`` is what
    was taken: whatever was not is counted as a drop.
    """

    __slots__ = ("asked", "lost", "nacked", "received", "reordered", "repaired", "repeated", "sent")

    def __init__(self) -> None:
        self.received: dict[str, Flow] = {kind: Flow() for kind in TRAFFIC}
        self.sent: dict[str, Flow] = {kind: Flow() for kind in TRAFFIC}
        self.asked = 0
        """Packets that senders were asked to repeat, every time counted."""
        self.reordered = self.repaired = self.lost = 0
        """What became of packets missing upstream: came late, came when asked for, given up."""
        self.nacked = self.repeated = 0
        """Packets that receivers asked for, and that were sent again."""

    def add_source(self, source: Source) -> None:
        self.received[source.kind].add(source.packets, source.octets)
        gaps = source.gaps
        self.asked += gaps.requested
        self.reordered += gaps.reordered
        self.repaired += gaps.repaired
        self.lost += gaps.lost

    def add_slots(self, slots: Iterable[Slot]) -> None:
        for slot in slots:
            self.sent[slot.kind].add(slot.packets, slot.octets)
            self.nacked += slot.nacked
            self.repeated += slot.repeats

    def __iadd__(self, other: Carried) -> Carried:
        for mine, theirs in ((self.received, other.received), (self.sent, other.sent)):
            for kind, flow in theirs.items():
                mine[kind].add(flow.packets, flow.octets)
        for name in ("asked", "reordered", "repaired", "lost", "nacked", "repeated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


class MediaCounters:
    """One per worker."""

    __slots__ = (
        "degradations",
        "jitter_received",
        "jitter_sent",
        "keyframes_asked",
        "keyframes_wanted",
        "loss_received",
        "loss_sent",
        "past",
        "round_trip",
    )

    def __init__(self) -> None:
        self.past = Carried()
        """By sources and slots that have ended, and traffic that is no media."""
        self.keyframes_wanted: dict[Cause, int] = dict.fromkeys(Cause, 0)
        self.keyframes_asked = 0
        """Requests sent."""
        self.degradations: dict[Reason, int] = dict.fromkeys(Reason, 0)
        """How often video was taken away from a receiver."""
        # One value per report, about one a second and stream.
        self.round_trip = Histogram(ROUND_TRIP_BOUNDS)
        self.loss_received = _by_kind(LOSS_BOUNDS)
        self.loss_sent = _by_kind(LOSS_BOUNDS)
        self.jitter_received = _by_kind(JITTER_BOUNDS)
        self.jitter_sent = _by_kind(JITTER_BOUNDS)

    def total(self, endpoints: Iterable[Endpoint]) -> Carried:
        """Everything since the start; ``endpoints``: those that live."""
        total = Carried()
        total += self.past
        for endpoint in endpoints:
            for source in endpoint.sources.values():
                total.add_source(source)
            total.add_slots(endpoint.slots.values())
        return total


def _by_kind(bounds: tuple[float, ...]) -> dict[MediaKind, Histogram]:
    return {kind: Histogram(bounds) for kind in MediaKind}
