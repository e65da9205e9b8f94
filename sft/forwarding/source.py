"""A source: an inbound RTP stream, a participant's audio or one layer of its video."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.forwarding.rate import RateMeter
from sft.forwarding.repair import Gaps
from sft.forwarding.rewrite import Numbering
from sft.model import MediaKind
from sft.webrtc.rtcp import ReportBlock, SenderReport, unix_from_ntp

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.forwarding.slot import Slot

CLOCK_RATES = {MediaKind.AUDIO: 48_000, MediaKind.VIDEO: 90_000}

RING_SIZES = {MediaKind.AUDIO: 64, MediaKind.VIDEO: 256}
"""Packets kept to answer NACKs, powers of two: about one second."""

STREAMS = {"h": "high", "l": "low", "": "video"}
"""Names of video layers."""

MAX_DELAY = 5.0
"""Seconds by which a sender's report may differ from what the newest packet's arrival says; a report
further off is nonsense, or from before the sender began anew."""

Stored = tuple[int, bytes, float]
"""(number, packet, arrival)."""


class Source:
    """What the packet path knows of one SSRC. Made with its first packet."""

    __slots__ = (
        "_prior_base",
        "_prior_expected",
        "_prior_received",
        "_repaired_before",
        "alive",
        "arrival",
        "asked",
        "clock_rate",
        "csrc",
        "described",
        "endpoint",
        "first",
        "floor",
        "gaps",
        "jitter",
        "kind",
        "lacking",
        "layer",
        "level",
        "meter",
        "numbering",
        "octets",
        "packets",
        "peak",
        "report",
        "report_arrival",
        "ring",
        "ring_mask",
        "route",
        "slots",
        "ssrc",
        "stream",
        "timestamp",
        "transit",
        "try_at",
        "try_version",
        "waiting",
        "watched",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        kind: MediaKind,
        ssrc: int,
        layer: str,
        csrc: int,
        sequence: int,
        hope: float,
    ) -> None:
        """``sequence`` is the first packet's; ``hope`` that the sender answers NACKs, as in ``Gaps``."""
        self.endpoint = endpoint
        self.kind = kind
        self.ssrc = ssrc
        self.layer = layer
        """``h``, ``l``, or empty where there is only one."""
        self.stream = kind.value if kind is MediaKind.AUDIO else STREAMS[layer]
        """What people call it."""
        self.csrc = csrc
        """What receivers know the participant's stream by (protocol section 6.3)."""
        self.clock_rate = CLOCK_RATES[kind]
        self.numbering = Numbering(sequence)
        self.gaps = Gaps(hope)

        self.timestamp = 0
        """RTP timestamp of the newest packet with a payload, and when it came."""
        self.arrival = 0.0
        self.alive = False
        """It has sent within the last second; set by the packet path, cleared by the table's tick."""

        # Where it goes. ``route`` is what the engine is given; it is rebuilt when ``slots`` changes.
        self.slots: dict[Slot, None] = {}
        self.route: object | None = None
        self.floor = 0
        """Highest number any of the slots began with: below it a packet is not for all of them."""

        # Counters of packets placed, forwarded or not (a slot's own counts are differences of these).
        self.packets = 0
        self.octets = 0
        self.meter = RateMeter()
        """Of a layer, what forwarding it costs."""

        # RFC 3550 appendix A.3 and A.8
        self.transit = 0
        self.jitter = 0  # in 1/16 clock units
        self._prior_base = sequence
        self._prior_expected = 0
        self._prior_received = 0
        self._repaired_before = 0  # of another series of numbers
        self.report: SenderReport | None = None
        self.report_arrival = 0.0

        # Audio selection
        self.first = False
        """It is the audio of the roster's first participant."""
        self.level = 0
        """Smoothed, in -dBov: 0 is loudest, also for who sends no levels (protocol section 6.2)."""
        self.peak = 127
        self.lacking: set[Endpoint] = set()
        """Receivers that may hear it and have no slot for it."""
        self.try_at = 0.0
        self.try_version = -1

        # Video layers
        self.described = False
        """It has carried a frame descriptor."""
        self.waiting: dict[Slot, None] = {}
        """Slots that switch to it at its next keyframe."""
        self.watched = False
        """Somebody waits for a keyframe of it: look at frame descriptors."""
        self.asked = float("-inf")
        """When it was last asked for a keyframe."""

        # Packets by number, for NACKs of receivers.
        self.ring: list[Stored | None] = [None] * RING_SIZES[kind]
        self.ring_mask = RING_SIZES[kind] - 1

    def reroute(self) -> None:
        """Rebuild what the packet path sends by; after any change of ``slots``."""
        ready = [slot.engine_slot for slot in self.slots if slot.engine_slot is not None]
        self.floor = max((slot.first_number for slot in self.slots), default=0)
        self.route = self.endpoint.engine.make_route(ready, self.csrc) if ready else None

    def route_from(self, number: int) -> object | None:
        """A route to the slots that had begun when the packet of this number should have come."""
        ready = [
            slot.engine_slot
            for slot in self.slots
            if slot.engine_slot is not None and slot.first_number <= number
        ]
        return self.endpoint.engine.make_route(ready, self.csrc) if ready else None

    def is_taken(self, number: int) -> bool:
        """Whether a late packet's number has gone out already, or may have: it is older than the ring.

        SRTP makes its nonce of the number, so two different packets must never go out under one. The
        replay check of the way in does not see to that: what a sender leaves out of our count (packets
        that are authentic and malformed) it may use to bring an old number back.
        """
        stored = self.ring[number & self.ring_mask]
        return stored is not None and stored[0] >= number

    def clear_ring(self) -> None:
        """Let go of the packets of a source that has fallen silent; none from before is placed any more."""
        self.ring[:] = [None] * len(self.ring)
        self.numbering.close()

    def timestamp_at(self, now: float, wall: float) -> int:
        """The RTP timestamp at this moment, of any width; ``wall``: now in Unix seconds.

        The sender's own report says which timestamp belongs to which moment of its clock; its participant's
        clock offset says when that was by ours. Without a report the newest packet is taken to have had no
        delay.
        """
        rate, report, offset = self.clock_rate, self.report, self.endpoint.clock.offset
        timestamp = self.timestamp + int((now - self.arrival) * rate)
        if report is not None and offset is not None:
            since = wall - offset - unix_from_ntp(report.ntp)
            ahead = (report.rtp + int(since * rate) - timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            if abs(ahead) < MAX_DELAY * rate:
                timestamp += ahead
        return timestamp

    def report_block(self, now: float) -> ReportBlock:
        """Reception report since the last one (RFC 3550 section 6.4.1 and appendix A.3).

        What was repeated counts as lost: it says how bad the network is, and Opus protects its sound by it.
        """
        numbering = self.numbering
        expected = numbering.highest - numbering.base + 1
        if numbering.base != self._prior_base:
            self._prior_base = numbering.base
            self._prior_expected = self._prior_received = 0
            self._repaired_before = self.gaps.repaired
        received = numbering.received - (self.gaps.repaired - self._repaired_before)
        expected_now = expected - self._prior_expected
        lost_now = expected_now - (received - self._prior_received)
        self._prior_expected = expected
        self._prior_received = received
        fraction = min((lost_now << 8) // expected_now, 255) if lost_now > 0 else 0
        lsr = dlsr = 0
        if self.report is not None:
            lsr = self.report.ntp >> 16 & 0xFFFFFFFF
            dlsr = int((now - self.report_arrival) * 65536)
        return ReportBlock(
            self.ssrc,
            fraction,
            expected - received,
            numbering.highest & 0xFFFFFFFF,
            self.jitter >> 4,
            lsr,
            dlsr,
        )
