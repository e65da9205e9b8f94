"""The way of every datagram of a peer, top to bottom.

Nothing here awaits, logs or raises. Per packet there are table look-ups, integer additions, one
decryption, and one call on the engine for all receivers; whatever is rarer than a packet (a new source,
a gap, a keyframe somebody waits for, a speaker without a slot) lives in the modules called from here.
The payload is never looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.errors import BadPacket
from sft.forwarding.feedback import receive_rtcp_untrusted
from sft.forwarding.repair import restore_untrusted
from sft.forwarding.rewrite import LATE
from sft.forwarding.selection import SILENT
from sft.model import Address, Drop, MediaKind
from sft.webrtc.rtp import (
    FIXED_HEADER,
    PADDING_BIT,
    PAYLOAD_RTX,
    read_extensions_untrusted,
    set_send_time,
    strip_padding_untrusted,
)

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.forwarding.source import Source
    from sft.plugin.interfaces import Base

AUDIO = MediaKind.AUDIO


def receive(endpoint: Endpoint, base: Base, data: bytes, address: Address, now: float) -> bool | None:
    """Take one datagram. True: it was an authenticated ICE check.

    SRTP is taken from any address: it authenticates itself, and a NAT that rebinds must not stop the
    media. Where we send to is changed by ``set_path`` only.
    """
    if not data:
        endpoint.drops.count(Drop.EMPTY)
        return None
    if not 128 <= data[0] <= 191:  # RFC 7983
        return endpoint.control(base, data, address, now)
    inbound = endpoint.inbound
    if inbound is None:
        endpoint.drops.count(Drop.SRTP_TOO_EARLY)
        return None
    try:
        if len(data) > 1 and 192 <= data[1] <= 223:  # RFC 5761 section 4
            receive_rtcp_untrusted(endpoint, inbound.unprotect_rtcp_untrusted(data), now)
        else:
            receive_rtp_untrusted(endpoint, inbound.unprotect_untrusted(data), now)
    except BadPacket as bad:
        endpoint.drops.count(bad.reason)
    return None


def receive_rtp_untrusted(endpoint: Endpoint, packet: bytes, now: float) -> None:
    """One authenticated RTP packet.

    Padding goes no further: a packet of nothing else is dropped, from a packet with a payload it is
    cut off and the P bit cleared.
    """
    endpoint.last_alive = now
    endpoint.packets += 1
    endpoint.octets += len(packet)
    table = endpoint.table
    if table is None:
        raise BadPacket(Drop.SRTP_TOO_EARLY)  # there are keys, but no data channel yet
    if len(packet) < 12:
        raise BadPacket(Drop.RTP_MALFORMED)
    first, second, sequence, timestamp, ssrc = FIXED_HEADER.unpack_from(packet)
    payload, level, transport, rid, frame, sent = read_extensions_untrusted(packet, first)
    if first & PADDING_BIT and payload < len(packet):
        packet = strip_padding_untrusted(packet, payload)
    size = len(packet) - payload

    if transport >= 0:
        pending = endpoint.transport.pending
        if not pending:
            table.wake_soon(now)
        pending.append((packet[transport] << 8 | packet[transport + 1], now))
    source = endpoint.sources.get(ssrc)
    if source is None and second & 0x7F == PAYLOAD_RTX:
        source, packet, sequence = restore_untrusted(endpoint, packet, payload, rid)
        size = len(packet) - payload
    elif source is None:
        source = endpoint.learn(ssrc, second & 0x7F, rid, not size, sequence, now)
        if source is None:
            endpoint.forget(ssrc)
            raise BadPacket(Drop.RTP_UNKNOWN_SOURCE)
        table.add_source(source, now)

    # Its number. What is dropped for everybody leaves no gap.
    numbering = source.numbering
    before = numbering.highest
    dropped = None if size else Drop.RTP_PADDING
    if size and source.kind is AUDIO:
        if level >= 0:
            source.level = level + source.level >> 1
        source.peak = min(source.level, source.peak + 1)
        if source.level >= SILENT and not source.first:
            dropped = Drop.RTP_SILENT
    if dropped is None:
        number = numbering.place(sequence)
    else:
        number = LATE
        numbering.drop(sequence)
    step = numbering.highest - before
    if step != 1:
        _out_of_order(source, before, sequence, step, now)

    # Statistics of all that is in order and carries something.
    if step and size:
        source.timestamp = timestamp
        source.arrival = now
        transit = int(now * source.clock_rate) - timestamp
        change = transit - source.transit & 0xFFFFFFFF
        if change >= 0x80000000:
            change = 0x100000000 - change
        source.transit = transit
        if source.alive:  # RFC 3550 appendix A.8; a first packet has nothing to compare with
            source.jitter += change - (source.jitter + 8 >> 4)
        else:
            table.revive(source, now)

    if dropped is not None:
        if source.slots and dropped is Drop.RTP_SILENT:
            table.selection.silence(source)
        endpoint.drops.count(dropped)
        return

    # Whom it goes to.
    if step:
        if source.kind is AUDIO:
            if source.lacking and (now >= source.try_at or source.try_version != table.selection.version):
                table.selection.seek(source, now)
        elif source.watched:
            table.layers.keyframe_watch(source, frame, now)
        route = source.route
    elif number == LATE or source.is_taken(number):
        endpoint.drops.count(Drop.RTP_LATE)
        return
    elif number < source.floor:
        endpoint.drops.count(Drop.RTP_LATE)
        route = source.route_from(number)
    else:
        route = source.route

    source.packets += 1
    source.octets += size
    if source.slots and source.kind is not AUDIO:  # once for all receivers; repeats are byte-identical
        packet = set_send_time(packet, first, transport, sent, now)
    source.ring[number & source.ring_mask] = (number, packet, now)
    if route is not None:
        endpoint.engine.fan_out(route, packet, number)


def _out_of_order(source: Source, before: int, sequence: int, step: int, now: float) -> None:
    """The packet is late, or others before it are missing."""
    table = source.endpoint.table
    if not step:
        source.gaps.filled(before - (before - sequence & 0xFFFF))
    elif table is not None and (source.route is not None or source.waiting):
        table.gap(source, before + 1, before + step - 1, now)
