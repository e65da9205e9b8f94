"""The RTP header (RFC 3550 section 5.1) and its header extensions (RFC 8285).

Extension ids are fixed by our own offer (protocol section 3.4.3), so they are constants here and
nothing is negotiated on the packet path. Only the header is ever read; the payload is opaque.
"""

from __future__ import annotations

import struct

from sft.errors import BadPacket
from sft.model import Drop

FIXED_HEADER = struct.Struct("!BBHII")
"""V/P/X/CC, M/PT, sequence number, timestamp, SSRC."""

PADDING_BIT = 0x20
EXTENSION_BIT = 0x10
CSRC_COUNT = 0x0F

AUDIO_LEVEL = 1  # RFC 6464
ABS_SEND_TIME = 2
TRANSPORT_SEQUENCE = 3  # draft-holmer-rmcat-transport-wide-cc-extensions-01
RID = 4  # RFC 8852
REPAIRED_RID = 5  # RFC 8852
DEPENDENCY_DESCRIPTOR = 6  # AV1 RTP specification, appendix A
FRAME_DESCRIPTOR = 11  # generic-frame-descriptor-00

PAYLOAD_AUDIO = 111
PAYLOAD_VIDEO = 100
PAYLOAD_RTX = 101
"""Repeats of video (RFC 4588)."""

NO_DESCRIPTOR, INSIDE, KEYFRAME_START = 0, 1, 2
"""What the frame descriptor says about a packet: there is none; it starts no keyframe; it does."""

SEND_TIME_RATE = 1 << 18
"""Ticks of the absolute send time per second; 24 bits of them are sent."""

MAX_PADDING = 255
"""Bytes; the last one tells how many."""

_ONE_BYTE = 0xBEDE
_TWO_BYTE = 0x1000  # the low four bits are "appbits"
_EXTENSION_HEADER = struct.Struct("!HH")
_ONE_BYTE_TIME = struct.Struct("!HHI")
_TWO_BYTE_TIME = struct.Struct("!HHBBIxx")
"""The header of an extension block, and the absolute send time as its first element."""


def read_extensions_untrusted(packet: bytes, first: int) -> tuple[int, int, int, int, int, int]:
    """Find the payload and the extensions that matter; ``first`` is the packet's first byte.

    Returns (payload offset, audio level 0..127, offset of the transport-wide sequence number, RID or repaired
    RID as a character code, frame kind, offset of the absolute send time). Absent: -1, the frame kind
    NO_DESCRIPTOR. A RID longer than one character is 0 (none of ours). Raises BadPacket when the header does
    not fit into the packet.
    """
    end = 12 + 4 * (first & CSRC_COUNT)
    level = transport = rid = sent = -1
    frame = NO_DESCRIPTOR
    size = len(packet)
    if not first & EXTENSION_BIT:
        if end > size:
            raise BadPacket(Drop.RTP_MALFORMED, "CSRC list past the end")
        return end, level, transport, rid, frame, sent

    position = end + 4
    if position > size:
        raise BadPacket(Drop.RTP_MALFORMED, "extension header past the end")
    profile, words = _EXTENSION_HEADER.unpack_from(packet, end)
    end = position + 4 * words
    if end > size:
        raise BadPacket(Drop.RTP_MALFORMED, "extension past the end")
    one_byte = profile == _ONE_BYTE
    if not one_byte and profile & 0xFFF0 != _TWO_BYTE:
        return end, level, transport, rid, frame, sent

    while position < end:
        ident = packet[position]
        position += 1
        if not ident:  # a padding byte, in either form (RFC 8285 sections 4.2 and 4.3)
            continue
        if one_byte:
            length = (ident & 15) + 1
            ident >>= 4
            if ident in (0, 15):  # RFC 8285 section 4.2: stop here, keep what came before
                break
        else:
            if position == end:
                raise BadPacket(Drop.RTP_MALFORMED, "extension element without length")
            length = packet[position]
            position += 1
        after = position + length
        if after > end:
            raise BadPacket(Drop.RTP_MALFORMED, "extension element past the end")
        if ident == TRANSPORT_SEQUENCE:
            if length == 2:
                transport = position
        elif ident == FRAME_DESCRIPTOR:
            # B (begin of subframe) without D (has dependencies) starts a keyframe.
            if length:
                frame = KEYFRAME_START if packet[position] & 0x88 == 0x80 else INSIDE
        elif ident == ABS_SEND_TIME:
            if length == 3:
                sent = position
        elif ident == AUDIO_LEVEL:
            if length:
                level = packet[position] & 0x7F
        elif RID <= ident <= REPAIRED_RID:
            rid = packet[position] if length == 1 else 0
        elif ident == DEPENDENCY_DESCRIPTOR and length >= 3 and frame == NO_DESCRIPTOR:
            # Start of frame, and a template structure, which only keyframes carry.
            starts = packet[position] & 0x80 and length > 3 and packet[position + 3] & 0x80
            frame = KEYFRAME_START if starts else INSIDE
        position = after
    return end, level, transport, rid, frame, sent


def set_send_time(packet: bytes, first: int, sequence: int, sent: int, now: float) -> bytes:
    """The packet with ``now`` as its absolute send time and without a transport-wide sequence number.

    ``first`` is its first byte; ``sequence`` and ``sent`` are the offsets of the two values, -1: absent. The
    clock is the server's own, receivers look at differences only. A Chrome that is asked for transport-wide
    numbers leaves the send time out; and one that gets such numbers, of whichever m-line, estimates no
    bandwidth. A packet without any extensions stays as it is.
    """
    if not first & EXTENSION_BIT:
        return packet
    start = 12 + 4 * (first & CSRC_COUNT)
    ticks = int(now * SEND_TIME_RATE) & 0xFFFFFF
    if sent < 0 <= sequence and packet[start] == _ONE_BYTE >> 8:  # as Chrome sends it
        words = packet[start + 2] << 8 | packet[start + 3]
        added = _ONE_BYTE_TIME.pack(_ONE_BYTE, words + 1, ABS_SEND_TIME << 28 | 2 << 24 | ticks)
        return packet[:start] + added + packet[start + 4 : sequence - 1] + b"\0\0\0" + packet[sequence + 2 :]
    profile, words = _EXTENSION_HEADER.unpack_from(packet, start)
    one_byte = profile == _ONE_BYTE
    if sequence >= 0:  # the element becomes padding
        element = sequence - (1 if one_byte else 2)
        packet = packet[:element] + bytes(sequence + 2 - element) + packet[sequence + 2 :]
    if sent >= 0:
        return packet[:sent] + ticks.to_bytes(3, "big") + packet[sent + 3 :]
    if one_byte:
        added = _ONE_BYTE_TIME.pack(profile, words + 1, ABS_SEND_TIME << 28 | 2 << 24 | ticks)
    elif profile & 0xFFF0 == _TWO_BYTE:
        added = _TWO_BYTE_TIME.pack(profile, words + 2, ABS_SEND_TIME, 3, ticks << 8)
    else:
        return packet
    return packet[:start] + added + packet[start + 4 :]


def write_padding(payload_type: int, sequence: int, timestamp: int, now: float) -> bytes:
    """A packet of MAX_PADDING bytes of padding and nothing else, with its absolute send time; SSRC 0."""
    header = FIXED_HEADER.pack(0x80 | PADDING_BIT | EXTENSION_BIT, payload_type, sequence, timestamp, 0)
    ticks = int(now * SEND_TIME_RATE) & 0xFFFFFF
    block = _ONE_BYTE_TIME.pack(_ONE_BYTE, 1, ABS_SEND_TIME << 28 | 2 << 24 | ticks)
    return header + block + bytes(MAX_PADDING - 1) + bytes((MAX_PADDING,))


def strip_padding_untrusted(packet: bytes, payload: int) -> bytes:
    """The packet without its padding (RFC 3550 section 5.1), P bit cleared; ``payload`` is its offset.

    The payload itself is untouched. Nothing of it may be left: a packet of padding only.
    """
    padding = packet[-1]
    if not 0 < padding <= len(packet) - payload:
        raise BadPacket(Drop.RTP_MALFORMED, "padding longer than the payload")
    return bytes((packet[0] & ~PADDING_BIT,)) + packet[1:-padding]
