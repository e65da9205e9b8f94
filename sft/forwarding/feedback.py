"""RTCP with one participant: what it tells us, and the reports we owe it (RFC 3550 section 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.errors import BadPacket
from sft.forwarding.keyframes import Cause
from sft.forwarding.quality import measure_upstream, take_downstream
from sft.forwarding.repair import repeat
from sft.model import Drop
from sft.webrtc import rtcp

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.forwarding.slot import Slot
    from sft.forwarding.source import Source
    from sft.forwarding.table import Table

REPORT_PERIOD = 1.0
"""Seconds between two reports to one participant."""

SLOTS_PER_COMPOUND = 12
"""Sender reports with their CNAMEs in one datagram: 72 bytes each, next to at most 31 report blocks."""

SLOTS_IN_TURN = 4
"""Sender reports to one participant at a time; more if more are owed out of turn. With fourteen slots
each has one every 3.5 s. They are for lip sync, which needs few once it has a line to go by, and for
round trips, for which one does."""

OUTAGE = 4.0
"""Seconds without RTCP after which a receiver of video was cut off; it reports every second or so."""


def receive_rtcp_untrusted(endpoint: Endpoint, compound: bytes, now: float) -> None:
    """One authenticated compound; every packet of it counts."""
    endpoint.last_alive = now
    table = endpoint.table
    if table is None:
        raise BadPacket(Drop.SRTP_TOO_EARLY)
    if not endpoint.admit_rtcp_sender(int.from_bytes(compound[4:8], "big")):
        raise BadPacket(Drop.RTP_UNKNOWN_SOURCE, "too many RTCP senders")
    packets = rtcp.parse_compound_untrusted(compound)
    table.counters.past.received["rtcp"].add(1, len(compound))
    if now - endpoint.last_rtcp > OUTAGE:
        _came_back(endpoint, table, now)
    endpoint.last_rtcp = now
    for packet in packets:
        match packet:
            case rtcp.SenderReport():
                _take_sender_report(endpoint, table, packet, now)
                _take_blocks(endpoint, table, packet.blocks, now)
            case rtcp.ReceiverReport():
                _take_blocks(endpoint, table, packet.blocks, now)
            case rtcp.Nack():
                slot = endpoint.slots.get(packet.media)
                if slot is not None:
                    repeat(endpoint, slot, packet.lost, now)
            case rtcp.Pli():
                _want_keyframe(endpoint, table, packet.media, Cause.RECEIVER_PLI, now)
            case rtcp.Fir():
                for ssrc, _ in packet.commands:
                    _want_keyframe(endpoint, table, ssrc, Cause.RECEIVER_FIR, now)
            case rtcp.Bye():
                for ssrc in packet.ssrcs:
                    source = endpoint.sources.get(ssrc)
                    if source is not None:
                        table.pause_source(source, now)
            case rtcp.Remb():
                endpoint.budget.downlink.take_remb(packet.bitrate, now)
            case _:
                pass  # SDES; transport-wide feedback, which nobody asked for


def _came_back(endpoint: Endpoint, table: Table, now: float) -> None:
    """All its pictures are broken; it would find that out and ask, but later."""
    for slot in endpoint.video_slots:
        if slot.source is not None:
            table.gate.request(slot.source, Cause.RECEIVER_BACK, now)


def _take_sender_report(endpoint: Endpoint, table: Table, report: rtcp.SenderReport, now: float) -> None:
    source = endpoint.sources.get(report.ssrc)
    if source is not None:
        source.report = report
        source.report_arrival = now
        endpoint.clock.observe(report, table.wall(now))


def _take_blocks(endpoint: Endpoint, table: Table, blocks: tuple[rtcp.ReportBlock, ...], now: float) -> None:
    if blocks:
        take_downstream(endpoint, table.counters, blocks, rtcp.ntp_from_unix(table.wall(now)), now)


def _want_keyframe(endpoint: Endpoint, table: Table, ssrc: int, cause: Cause, now: float) -> None:
    slot = endpoint.slots.get(ssrc)
    if slot is not None and slot.source is not None and slot in endpoint.video_slots:
        endpoint.keyframes_wanted += 1
        table.gate.request(slot.source, cause, now)


def report(endpoint: Endpoint, now: float, wall: float) -> None:
    """Send reception reports on its sources, sender reports on its slots; ``wall``: now in Unix seconds."""
    table = endpoint.table
    if endpoint.outlet is None or table is None:
        return
    blocks = tuple(source.report_block(now) for source in endpoint.sources.values())
    measure_upstream(endpoint, table.counters, blocks)
    active = [
        (slot, source)
        for slot in endpoint.slots.values()
        if (source := slot.source) is not None and source.alive
    ]
    if not blocks and not active:
        return
    if len(active) > SLOTS_IN_TURN:
        active = _whose_turn_it_is(active)
    ntp = rtcp.ntp_from_unix(wall)
    reports = rtcp.write_receiver_report(endpoint.rtcp_ssrc, blocks)
    for start in range(0, len(active), SLOTS_PER_COMPOUND):
        if start:
            _send(endpoint, reports)
            reports = endpoint.empty_report
        some = active[start : start + SLOTS_PER_COMPOUND]
        written = [_sender_report(slot, source, now, wall, ntp) for slot, source in some]
        reports = b"".join((reports, *written, rtcp.write_description([slot.named for slot, _ in some])))
    _send(endpoint, reports)


def _whose_turn_it_is(active: list[tuple[Slot, Source]]) -> list[tuple[Slot, Source]]:
    """All whose source is new, and of the others those that have waited longest, one at least."""
    active.sort(key=lambda pair: (pair[0].owed == 0, pair[0].told_at))
    new = sum([slot.owed > 0 for slot, _ in active])
    return active[: max(SLOTS_IN_TURN, new + 1)]


def _sender_report(slot: Slot, source: Source, now: float, wall: float, ntp: int) -> bytes:
    """What the slot's RTP timestamp is at this moment of our clock (RFC 3550 section 6.4.1)."""
    if slot.owed:
        slot.owed -= 1
    slot.told_at = now
    timestamp = source.timestamp_at(now, wall) + slot.attachments[-1].timestamp_offset
    return rtcp.write_sender_report(slot.ssrc, ntp, timestamp, slot.packets, slot.octets)


def send_transport_feedback(endpoint: Endpoint) -> None:
    """Tell when its packets with a transport-wide number arrived, if any came since the last time."""
    media = next((source.ssrc for source in endpoint.layers.values()), 0)
    for packet in endpoint.transport.feedback(endpoint.rtcp_ssrc, media):
        send_feedback(endpoint, packet)


def send_feedback(endpoint: Endpoint, packet: bytes) -> None:
    """Send one feedback packet, behind an empty report: that needs no ``rtcp-rsize`` (RFC 5506)."""
    _send(endpoint, endpoint.empty_report + packet)


def _send(endpoint: Endpoint, compound: bytes) -> None:
    """To who has keys and a path: with ICE-lite media may come before the client has chosen one."""
    if endpoint.outlet is not None and endpoint.has_path and endpoint.table is not None:
        endpoint.outlet.send_rtcp(compound)
        endpoint.table.counters.past.sent["rtcp"].add(1, len(compound))
