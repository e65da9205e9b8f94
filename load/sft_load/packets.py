"""RTP as the load clients send it, written and protected in place, and what a receiver reads back.

Every payload begins with a tag: who sent it (the label that receivers see as CSRC), its number, which
layer, how long the payload is, and when it was sent. The rest is the beginning of FILLER. To the server it
is as opaque as a payload that is encrypted end to end.
"""

from __future__ import annotations

import random
import struct
import time
from typing import Any

import attrs

from sft.forwarding.libsrtp import BYTES, LENGTH, MEMORY, protect

AUDIO_BYTES = 120
"""Of a packet with all headers, before SRTP: Opus at about 40 kbit/s, end-to-end encrypted."""

FILLER = random.Random(0).randbytes(2048)
"""The same in every process."""

LOUD, SILENT = 30, 127  # audio levels in -dBov (RFC 6464)
BEGIN, END, DEPENDS = 0x80, 0x40, 0x08  # generic frame descriptor 00

_TAG = struct.Struct("!2sHIIcQ")
_OUTGOING = struct.Struct("!BBHIIIHH")
_MAGIC = b"ld"

# Fixed header; header extensions, each with its one-byte header (RFC 8285 section 4.2); tag.
_AUDIO = struct.Struct("!BBHII HHBBBHBxx" + "2sHIIcQ")
_VIDEO = struct.Struct("!BBHII HHBHBBHBBHx" + "2sHIIcQ")
_NAMED = struct.Struct("!BBHII HHBHBBHBBHBcxxx" + "2sHIIcQ")

_view = memoryview(BYTES)


class AudioSource:
    """Opus-sized packets, each ``ticks`` of the 48 kHz clock after the one before."""

    def __init__(self, ssrc: int, size: int = AUDIO_BYTES, ticks: int = 960) -> None:
        """``size``: bytes of a packet with all headers, before SRTP."""
        self.ssrc = ssrc
        self.level = SILENT
        self.sent = 0
        self.octets = 0
        self._size = size
        self._ticks = ticks
        self._first = ssrc & 0x7FFF
        _, self._filler, self._payload = _filled(_AUDIO, size)

    @property
    def timestamp(self) -> int:
        return self.sent * self._ticks & 0xFFFFFFFF

    def protect(self, srtp: Any, label: int) -> memoryview:
        """The next packet, encrypted; good until the next one of any source."""
        self.sent += 1
        now = time.time_ns()
        send_time = now * 262144 // 1_000_000_000
        _AUDIO.pack_into(
            BYTES, 0,
            0x90, 111, self._first + self.sent & 0xFFFF, self.timestamp, self.ssrc,
            0xBEDE, 2, 0x10, 0x80 | self.level, 0x22, send_time >> 8 & 0xFFFF, send_time & 0xFF,
            _MAGIC, self._payload, label, self.sent, b"a", now,
        )  # fmt: skip
        return _protected(srtp, _AUDIO.size, self._filler, self)


class VideoSource:
    """One layer: frames of ``per_frame`` packets of ``size`` bytes; a keyframe when asked for one."""

    def __init__(self, ssrc: int, size: int, per_frame: int, rid: str = "", ticks: int = 3000) -> None:
        """``rid``: names the layer in its packets until a receiver report says that it is known; ``ticks``
        of the 90 kHz clock lie between two frames."""
        self.ssrc = ssrc
        self.rid = rid
        self.sent = 0
        self.octets = 0
        self.keyframe = True
        self.named = not rid
        self.per_frame = per_frame
        self._rid = rid.encode() or b"-"
        self._in_keyframe = False
        self._unnamed_layout, self._named_layout = (_filled(layout, size) for layout in (_VIDEO, _NAMED))
        self._first = ssrc & 0x7FFF
        self._ticks = ticks

    @property
    def timestamp(self) -> int:
        return self.sent // self.per_frame * self._ticks & 0xFFFFFFFF

    def protect(self, srtp: Any, label: int, transport: int) -> memoryview:
        """The next packet, encrypted; good until the next one of any source. ``transport`` is the
        sender's transport-wide sequence number."""
        part = self.sent % self.per_frame
        if part == 0:
            self._in_keyframe, self.keyframe = self.keyframe, False
        timestamp = self.timestamp
        self.sent += 1
        number = self.sent
        ends = part == self.per_frame - 1
        frame = (0 if part else BEGIN) | (END if ends else 0) | (0 if self._in_keyframe else DEPENDS)
        now = time.time_ns()
        send_time = now * 262144 // 1_000_000_000
        name = () if self.named else (0x40, self._rid)
        layout, filler, payload = self._unnamed_layout if self.named else self._named_layout
        layout.pack_into(
            BYTES, 0,
            0x90, 228 if ends else 100, self._first + number & 0xFFFF, timestamp, self.ssrc,
            0xBEDE, 3 if self.named else 4, 0x22, send_time >> 8 & 0xFFFF, send_time & 0xFF,
            0x31, transport & 0xFFFF, 0xB2, frame, number & 0xFFFF, *name,
            _MAGIC, payload, label, number, self._rid, now,
        )  # fmt: skip
        return _protected(srtp, layout.size, filler, self)


def _filled(layout: struct.Struct, size: int) -> tuple[struct.Struct, bytes, int]:
    """What a packet of this size is made of: its headers and tag, the filler, and the payload's length."""
    filler = FILLER[: size - layout.size]
    return layout, filler, _TAG.size + len(filler)


def _protected(srtp: Any, headers: int, filler: bytes, source: AudioSource | VideoSource) -> memoryview:
    """The packet whose headers and tag are in place already."""
    size = headers + len(filler)
    BYTES[headers:size] = filler
    LENGTH[0] = size
    if status := protect(srtp, MEMORY, LENGTH):
        raise RuntimeError(f"libsrtp status {status}")
    source.octets += size - 12
    return _view[: LENGTH[0]]


@attrs.define
class Tag:
    """What a packet says of itself, inside and out."""

    sequence: int
    csrc: int
    label: int
    number: int
    rid: int
    sent_at: float
    """Seconds of the real-time clock."""
    end: int
    """Where in the packet the tag ends."""
    whole: bool
    """The payload is as long as it was."""


def read_tag(packet: bytes) -> Tag | None:
    """None: not one of ours."""
    try:
        first, _, sequence, _, _, csrc, _, words = _OUTGOING.unpack_from(packet)
        start = 20 + 4 * words
        magic, length, label, number, rid, sent = _TAG.unpack_from(packet, start)
    except struct.error:
        return None
    if first != 0x91 or magic != _MAGIC:  # extension, one CSRC, no padding
        return None
    whole = len(packet) - start == length
    return Tag(sequence, csrc, label, number, rid[0], sent / 1e9, start + _TAG.size, whole)
