"""RTCP (RFC 3550 section 6, RFC 4585, RFC 5104): reading every packet of a compound, writing our own.

Reduced-size packets (RFC 5506) are read as well: any packet type may come first. What we send always
starts with a report, so it needs no negotiation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import attrs

from sft.errors import BadPacket
from sft.model import Drop

SR, RR, SDES, BYE, RTPFB, PSFB = 200, 201, 202, 203, 205, 206
NACK_FORMAT, TRANSPORT_FORMAT = 1, 15  # of RTPFB
PLI_FORMAT, FIR_FORMAT, APPLICATION_FORMAT = 1, 4, 15  # of PSFB

NTP_EPOCH = 2_208_988_800
"""Seconds from 1900 (NTP) to 1970 (Unix)."""

_HEADER = struct.Struct("!BBH")
_SSRC = struct.Struct("!I")
_SENDER_INFO = struct.Struct("!QIII")
_SENDER_REPORT = struct.Struct("!BBHIQIII")
_BLOCK = struct.Struct("!IIIIII")
_FEEDBACK = struct.Struct("!II")
_PAIR = struct.Struct("!HH")
_FIR_ENTRY = struct.Struct("!IBxxx")


class ReportBlock(NamedTuple):
    """RFC 3550 section 6.4.1. ``lost`` is signed; ``jitter`` in clock units; ``dlsr`` in 1/65536 s.

    A tuple because every receiver sends one per slot and second."""

    ssrc: int
    fraction: int
    lost: int
    highest: int
    jitter: int
    lsr: int
    dlsr: int


@attrs.frozen
class SenderReport:
    ssrc: int
    ntp: int  # 32.32 fixed point
    rtp: int
    packets: int
    octets: int
    blocks: tuple[ReportBlock, ...]


@attrs.frozen
class ReceiverReport:
    ssrc: int
    blocks: tuple[ReportBlock, ...]


@attrs.frozen
class SourceDescription:
    cnames: tuple[tuple[int, str], ...]


@attrs.frozen
class Bye:
    ssrcs: tuple[int, ...]


@attrs.frozen
class Nack:
    """RFC 4585 section 6.2.1; ``lost`` are 16-bit sequence numbers."""

    ssrc: int
    media: int
    lost: tuple[int, ...]


@attrs.frozen
class Pli:
    ssrc: int
    media: int


@attrs.frozen
class Fir:
    """RFC 5104 section 4.3.1: (media SSRC, command number) pairs."""

    ssrc: int
    commands: tuple[tuple[int, int], ...]


@attrs.frozen
class Remb:
    """draft-alvestrand-rmcat-remb-03; ``bitrate`` in bit/s."""

    ssrc: int
    bitrate: int
    media: tuple[int, ...]


@attrs.frozen
class TransportFeedback:
    """Transport-wide congestion control feedback; its contents are not used yet."""

    ssrc: int
    media: int


RtcpPacket: TypeAlias = (
    SenderReport | ReceiverReport | SourceDescription | Bye | Nack | Pli | Fir | Remb | TransportFeedback
)


def parse_compound_untrusted(data: bytes) -> list[RtcpPacket]:
    """Every packet of a compound, in order; types we do not know are left out.

    Raises BadPacket if any packet is malformed: then none of the compound is believed.
    """
    packets: list[RtcpPacket] = []
    position = 0
    if not data:
        raise BadPacket(Drop.RTCP_MALFORMED, "empty")
    while position < len(data):
        if len(data) - position < 4:
            raise BadPacket(Drop.RTCP_MALFORMED, "short header")
        first, kind, words = _HEADER.unpack_from(data, position)
        end = position + 4 + 4 * words
        if first >> 6 != 2 or end > len(data):
            raise BadPacket(Drop.RTCP_MALFORMED, "version or length")
        body = data[position + 4 : end]
        if first & 0x20:
            body = _without_padding_untrusted(body)
        try:
            packet = _parse_untrusted(kind, first & 31, body)
        except struct.error:
            raise BadPacket(Drop.RTCP_MALFORMED, f"packet type {kind} too short") from None
        if packet is not None:
            packets.append(packet)
        position = end
    return packets


def _without_padding_untrusted(body: bytes) -> bytes:
    if not body or not 0 < body[-1] <= len(body):
        raise BadPacket(Drop.RTCP_MALFORMED, "padding")
    return body[: -body[-1]]


def _parse_untrusted(kind: int, count: int, body: bytes) -> RtcpPacket | None:
    """One packet; ``count`` is the five-bit count or format. May let struct.error out (caller maps it)."""
    if kind == SR:
        (ssrc,) = _SSRC.unpack_from(body)
        ntp, rtp, packets, octets = _SENDER_INFO.unpack_from(body, 4)
        return SenderReport(ssrc, ntp, rtp, packets, octets, _blocks(body, 24, count))
    if kind == RR:
        (ssrc,) = _SSRC.unpack_from(body)
        return ReceiverReport(ssrc, _blocks(body, 4, count))
    if kind == SDES:
        return SourceDescription(_cnames_untrusted(body, count))
    if kind == BYE:
        return Bye(struct.unpack_from(f"!{count}I", body))
    if kind == RTPFB and count == NACK_FORMAT:
        ssrc, media = _FEEDBACK.unpack_from(body)
        return Nack(ssrc, media, _lost(body))
    if kind == RTPFB and count == TRANSPORT_FORMAT:
        return TransportFeedback(*_FEEDBACK.unpack_from(body))
    if kind == PSFB and count == PLI_FORMAT:
        return Pli(*_FEEDBACK.unpack_from(body))
    if kind == PSFB and count == FIR_FORMAT:
        ssrc, _ = _FEEDBACK.unpack_from(body)
        entries = range(8, len(body) - 7, 8)
        return Fir(ssrc, tuple(_FIR_ENTRY.unpack_from(body, at) for at in entries))
    if kind == PSFB and count == APPLICATION_FORMAT and body[8:12] == b"REMB":
        return _remb(body)
    return None


def _blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    """May let struct.error out."""
    data = body[start : start + 24 * count]
    if len(data) < 24 * count:
        raise struct.error
    return tuple(
        [
            ReportBlock(ssrc, loss >> 24, (loss & 0xFFFFFF ^ 0x800000) - 0x800000, highest, jitter, lsr, dlsr)
            for ssrc, loss, highest, jitter, lsr, dlsr in _BLOCK.iter_unpack(data)
        ]
    )


def _cnames_untrusted(body: bytes, count: int) -> tuple[tuple[int, str], ...]:
    cnames = []
    position = 0
    for _ in range(count):
        (ssrc,) = _SSRC.unpack_from(body, position)
        position += 4
        while position < len(body) and body[position]:
            if position + 2 > len(body) or position + 2 + body[position + 1] > len(body):
                raise BadPacket(Drop.RTCP_MALFORMED, "SDES item past the end")
            kind, text = body[position], body[position + 2 : position + 2 + body[position + 1]]
            if kind == 1:
                cnames.append((ssrc, text.decode(errors="replace")))
            position += 2 + len(text)
        position += 4 - position % 4  # the null that ends the list, and up to the next word
    return tuple(cnames)


def _lost(body: bytes) -> tuple[int, ...]:
    lost = []
    for at in range(8, len(body) - 3, 4):
        first, mask = _PAIR.unpack_from(body, at)
        lost.append(first)
        lost += [first + bit + 1 & 0xFFFF for bit in range(16) if mask >> bit & 1]
    return tuple(lost)


def _remb(body: bytes) -> Remb:
    ssrc, _, _, word = struct.unpack_from("!IIII", body)
    count, exponent, mantissa = word >> 24, word >> 18 & 63, word & 0x3FFFF
    return Remb(ssrc, mantissa << exponent, struct.unpack_from(f"!{count}I", body, 16))


def ntp_from_unix(seconds: float) -> int:
    """Unix seconds as 32.32 fixed point since 1900, modulo 2^64 (RFC 3550 section 4)."""
    return int((seconds + NTP_EPOCH) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def unix_from_ntp(ntp: int) -> float:
    return ntp / (1 << 32) - NTP_EPOCH


def write_receiver_report(ssrc: int, blocks: Sequence[ReportBlock] = ()) -> bytes:
    """At most 31 blocks. Without any it is the start of a compound that only carries feedback."""
    return _HEADER.pack(0x80 | len(blocks), RR, 1 + 6 * len(blocks)) + _SSRC.pack(ssrc) + _pack(blocks)


def write_sender_report(ssrc: int, ntp: int, rtp: int, packets: int, octets: int) -> bytes:
    """Without report blocks: those are ours only to give as a receiver. Counts are taken modulo 2^32."""
    return _SENDER_REPORT.pack(
        0x80, SR, 6, ssrc, ntp, rtp & 0xFFFFFFFF, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF
    )


def _pack(blocks: Iterable[ReportBlock]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction << 24 | max(-0x800000, min(block.lost, 0x7FFFFF)) & 0xFFFFFF,
            block.highest & 0xFFFFFFFF,
            block.jitter & 0xFFFFFFFF,
            block.lsr,
            min(block.dlsr, 0xFFFFFFFF),
        )
        for block in blocks
    )


def cname_chunk(ssrc: int, cname: str) -> bytes:
    """What an SDES packet says of one SSRC."""
    text = cname.encode()[:255]
    chunk = _SSRC.pack(ssrc) + bytes((1, len(text))) + text
    return chunk + bytes(4 - len(chunk) % 4)


def write_description(chunks: Sequence[bytes]) -> bytes:
    """An SDES packet of at most 31 chunks."""
    body = b"".join(chunks)
    return _HEADER.pack(0x80 | len(chunks), SDES, len(body) // 4) + body


def write_nack(ssrc: int, media: int, lost: Sequence[int]) -> bytes:
    """``lost``: ascending sequence numbers (of any width); packed into (PID, BLP) pairs."""
    pairs: list[tuple[int, int]] = []
    first = None
    for number in lost:
        if first is not None and 0 < number - first <= 16:
            pairs[-1] = (pairs[-1][0], pairs[-1][1] | 1 << number - first - 1)
        else:
            first = number
            pairs.append((number & 0xFFFF, 0))
    body = b"".join(_PAIR.pack(*pair) for pair in pairs)
    return _HEADER.pack(0x80 | NACK_FORMAT, RTPFB, 2 + len(pairs)) + _FEEDBACK.pack(ssrc, media) + body


def write_pli(ssrc: int, media: int) -> bytes:
    return _HEADER.pack(0x80 | PLI_FORMAT, PSFB, 2) + _FEEDBACK.pack(ssrc, media)


def write_fir(ssrc: int, media: int, command: int) -> bytes:
    entry = _FIR_ENTRY.pack(media, command & 0xFF)
    return _HEADER.pack(0x80 | FIR_FORMAT, PSFB, 4) + _FEEDBACK.pack(ssrc, 0) + entry
