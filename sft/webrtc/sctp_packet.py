"""The outer form of SCTP packets (RFC 9260 section 3), checked before aiortc reads the inside.

aiortc trusts the lengths that it reads: a parameter of length 0 makes it loop for ever, so nothing
reaches its parsers that has not passed here.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

import attrs
from google_crc32c import value as crc32c

from sft.errors import BadPacket
from sft.model import Drop

DATA: Final = 0
INIT: Final = 1
INIT_ACK: Final = 2
SACK: Final = 3
HEARTBEAT: Final = 4
ABORT: Final = 6
SHUTDOWN: Final = 7
SHUTDOWN_ACK: Final = 8
ERROR: Final = 9
COOKIE_ECHO: Final = 10
COOKIE_ACK: Final = 11
SHUTDOWN_COMPLETE: Final = 14
RECONFIG: Final = 130

_SHORTEST: Final = {
    DATA: 13,  # a DATA chunk without user data is a protocol violation (section 3.3.1)
    INIT: 16,
    INIT_ACK: 16,
    SACK: 12,
    HEARTBEAT: 4,
    ABORT: 0,
    SHUTDOWN: 4,
    SHUTDOWN_ACK: 0,
    ERROR: 0,
    COOKIE_ECHO: 1,
    COOKIE_ACK: 0,
    SHUTDOWN_COMPLETE: 0,
    RECONFIG: 4,
}
"""The chunk types we take, and the least length of their values. FORWARD-TSN is not among them: our
channel is reliable and partial reliability is never negotiated."""

_PARAMETERS_AT: Final = {INIT: 16, INIT_ACK: 16, HEARTBEAT: 0, RECONFIG: 0}
_UNREAD: Final = (ABORT, ERROR)  # that they came says enough, so their causes are not parsed at all
_COMMON_HEADER = Struct("!HHLL")
_CHUNK_HEADER = Struct("!BBH")
_PARAMETER_HEADER = Struct("!HH")
_INIT_HEAD = Struct("!LLHH")
_HEADER_LENGTH: Final = 12
MAX_PACKET: Final = 2048
"""Bytes. WebRTC's SCTP stacks stay below 1300 (RFC 8261 section 5)."""


@attrs.define
class SctpPacket:
    """A packet taken apart: chunks are (type, flags, value)."""

    verification_tag: int
    chunks: list[tuple[int, int, bytes]]


def parse_untrusted(data: bytes) -> SctpPacket:
    """Take a packet apart; everything in it has the length that it says."""
    length = len(data)
    if length > MAX_PACKET:
        raise BadPacket(Drop.TOO_LARGE, f"SCTP packet of {length} bytes")
    if length < _HEADER_LENGTH + 4:
        raise BadPacket(Drop.SCTP_MALFORMED, "short packet")
    _, _, tag, checksum = _COMMON_HEADER.unpack_from(data)
    expected = crc32c(data[:8] + b"\0\0\0\0" + data[12:])
    if checksum != int.from_bytes(expected.to_bytes(4, "little"), "big"):
        raise BadPacket(Drop.SCTP_MALFORMED, "wrong checksum")
    chunks = []
    position = _HEADER_LENGTH
    while position + 4 <= length:
        kind, flags, size = _CHUNK_HEADER.unpack_from(data, position)
        if size < 4 or position + size > length:
            raise BadPacket(Drop.SCTP_MALFORMED, "chunk length")
        if kind in _SHORTEST:
            value = b"" if kind in _UNREAD else data[position + 4 : position + size]
            _check_chunk_untrusted(kind, value)
            chunks.append((kind, flags, value))
        elif not kind & 0x80:
            break  # an unknown type that says: read no further (section 3.2)
        position += size + (-size & 3)
    if len(chunks) > 1 and any(kind in (INIT, INIT_ACK) for kind, _, _ in chunks):
        raise BadPacket(Drop.SCTP_MALFORMED, "INIT is bundled")
    return SctpPacket(tag, chunks)


def _check_chunk_untrusted(kind: int, value: bytes) -> None:
    if len(value) < _SHORTEST[kind]:
        raise BadPacket(Drop.SCTP_MALFORMED, f"short chunk of type {kind}")
    if kind in (INIT, INIT_ACK):
        initiate_tag, _, outbound, inbound = _INIT_HEAD.unpack_from(value)
        if not (initiate_tag and outbound and inbound):
            raise BadPacket(Drop.SCTP_MALFORMED, "INIT without tag or streams")
    position = _PARAMETERS_AT.get(kind)
    if position is None:
        return
    while position + 4 <= len(value):
        _, size = _PARAMETER_HEADER.unpack_from(value, position)
        if size < 4 or position + size > len(value):
            raise BadPacket(Drop.SCTP_MALFORMED, "parameter length")
        position += size + (-size & 3)
