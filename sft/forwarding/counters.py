"""What the packet path counted, read at scrape time. Per packet there are only integer additions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from sft.model import MediaKind, ParticipantId

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.forwarding.slot import Slot
    from sft.forwarding.source import Source
    from sft.forwarding.table import Table


@attrs.frozen
class SourceCounters:
    """An inbound stream."""

    kind: MediaKind
    layer: str
    ssrc: int
    packets: int
    octets: int  # payload bytes
    lost: int  # packets missing so far, may be negative (RFC 3550 section 6.4.1)
    jitter: float  # seconds
    level: int  # audio: smoothed, -dBov
    slots: int  # how many receivers it goes to
    nacked: int  # packets asked for again


@attrs.frozen
class SlotCounters:
    """An outbound stream."""

    kind: MediaKind
    mid: str
    ssrc: int
    packets: int
    octets: int  # payload bytes
    repeats: int
    lost: int  # as the receiver reported
    sender: ParticipantId | None  # whose media it carries now


@attrs.frozen
class EndpointCounters:
    """A participant. Packets and bytes are RTP after SRTP's trailer is off."""

    participant: ParticipantId
    packets_in: int
    octets_in: int
    packets_out: int
    octets_out: int
    sources: tuple[SourceCounters, ...]
    slots: tuple[SlotCounters, ...]


@attrs.frozen
class TableCounters:
    """A call."""

    keyframes_wanted: dict[str, int]  # by cause
    keyframes_asked: int
    endpoints: tuple[EndpointCounters, ...]


def read_source(source: Source) -> SourceCounters:
    numbering = source.numbering
    return SourceCounters(
        kind=source.kind,
        layer=source.layer,
        ssrc=source.ssrc,
        packets=source.packets,
        octets=source.octets,
        lost=numbering.highest - numbering.base + 1 - numbering.received,
        jitter=(source.jitter >> 4) / source.clock_rate,
        level=source.level,
        slots=len(source.slots),
        nacked=source.gaps.requested,
    )


def read_slot(slot: Slot) -> SlotCounters:
    return SlotCounters(
        kind=slot.kind,
        mid=slot.mid,
        ssrc=slot.ssrc,
        packets=slot.packets,
        octets=slot.octets,
        repeats=slot.repeats,
        lost=slot.lost,
        sender=slot.source.endpoint.participant if slot.source else None,
    )


def read_endpoint(endpoint: Endpoint) -> EndpointCounters:
    slots = tuple(read_slot(slot) for slot in (*endpoint.audio_slots, *endpoint.video_slots))
    return EndpointCounters(
        participant=endpoint.participant,
        packets_in=endpoint.packets,
        octets_in=endpoint.octets,
        packets_out=sum(slot.packets for slot in slots),
        octets_out=sum(slot.octets for slot in slots),
        sources=tuple(read_source(source) for source in endpoint.sources.values()),
        slots=slots,
    )


def snapshot(table: Table) -> TableCounters:
    """Everything at once; about 10 us per participant."""
    return TableCounters(
        keyframes_wanted={cause.value: count for cause, count in table.gate.causes.items()},
        keyframes_asked=table.gate.asked,
        endpoints=tuple(read_endpoint(endpoint) for endpoint in table.endpoints),
    )
