"""How the network treats a participant's packets: loss, jitter and round-trip time.

Upstream we measure, downstream the participant's reports say (RFC 3550 section 6.4.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.forwarding.counters import MediaCounters
from sft.forwarding.source import CLOCK_RATES
from sft.webrtc.rtcp import ReportBlock

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint

MAX_SECONDS = 10.0
"""Round-trip times and jitters above are nonsense: reports are a client's word, and our wall clock may
have been set meanwhile."""


class Quality:
    """One direction of one participant, over its newest report."""

    __slots__ = ("jitter", "loss")

    def __init__(self) -> None:
        self.loss = 0.0
        """Share of packets, mean of all streams."""
        self.jitter = 0.0
        """Seconds, of the worst stream."""


def measure_upstream(endpoint: Endpoint, counters: MediaCounters, blocks: tuple[ReportBlock, ...]) -> None:
    """The reception reports that the participant is about to get."""
    losses, jitters = [], []
    for block in blocks:
        source = endpoint.sources[block.ssrc]
        if not source.alive:
            continue
        losses.append(block.fraction / 256)
        jitters.append(block.jitter / source.clock_rate)
        counters.loss_received[source.kind].observe(losses[-1])
        counters.jitter_received[source.kind].observe(jitters[-1])
    _keep(endpoint.upstream, losses, jitters)


def take_downstream(
    endpoint: Endpoint, counters: MediaCounters, blocks: tuple[ReportBlock, ...], ntp: int, now: float
) -> None:
    """The participant's reports on its slots came; ``ntp``: now, 32.32 fixed point."""
    losses, jitters, trips, new_trips = [], [], [], []
    all_expected = all_lost = 0
    for block in blocks:
        slot = endpoint.slots.get(block.ssrc)
        if slot is None:
            continue
        before = slot.reported
        expected, lost = slot.take_report(block)
        if expected:
            all_expected += expected
            all_lost += lost
        jitter = block.jitter / CLOCK_RATES[slot.kind]
        if slot.source is not None and jitter <= MAX_SECONDS:
            losses.append(block.fraction / 256)
            jitters.append(jitter)
            counters.loss_sent[slot.kind].observe(losses[-1])
            counters.jitter_sent[slot.kind].observe(jitter)
        if block.lsr:
            trip = ((ntp >> 16) - block.lsr - block.dlsr & 0xFFFFFFFF) / 65536
            if trip <= MAX_SECONDS:
                trips.append(trip)
                if before is not None and before.lsr != block.lsr:
                    new_trips.append(trip)
    _keep(endpoint.downstream, losses, jitters)
    endpoint.budget.downlink.take_loss(all_expected, all_lost, now)
    if trips:
        endpoint.round_trip = min(trips)
        counters.round_trip.observe(endpoint.round_trip)
    if new_trips:
        endpoint.budget.downlink.take_round_trip(min(new_trips))


def _keep(quality: Quality, losses: list[float], jitters: list[float]) -> None:
    if losses:
        quality.loss = sum(losses) / len(losses)
        quality.jitter = max(jitters)
