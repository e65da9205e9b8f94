"""RTP as the load clients send it, and the check of what comes back.

Every payload begins with a tag: who sent it and its number. So a receiver knows for each packet whether it
is the right one at the right place, and what is missing.
"""

from __future__ import annotations

import os
import struct

_HEADER = struct.Struct("!BBHII")
_OUTGOING = struct.Struct("!BBHIIIHH")
_TAG = struct.Struct("!4sII")
_MAGIC = b"load"
_AUDIO_EXTENSIONS = struct.Struct("!HHBB3sBBx")
_VIDEO_EXTENSIONS = struct.Struct("!HHB3sBHBBHx")

AUDIO_BYTES = 120
"""Opus at about 40 kbit/s, end-to-end encrypted."""

LOUD, SILENT = 30, 127  # audio levels in -dBov (RFC 6464)
BEGIN, END, DEPENDS = 0x80, 0x40, 0x08  # generic frame descriptor 00


class AudioSource:
    """50 packets a second, one level for ever."""

    def __init__(self, ssrc: int, level: int) -> None:
        self.ssrc = ssrc
        self.sent = 0
        self.octets = 0
        self._level = level
        self._first = ssrc & 0x7FFF
        self._filler = os.urandom(AUDIO_BYTES)

    @property
    def timestamp(self) -> int:
        return self.sent * 960 & 0xFFFFFFFF

    def next(self, label: int) -> bytes:
        """The next packet; ``label`` is what receivers know the sender by."""
        self.sent += 1
        header = _HEADER.pack(0x90, 111, self._first + self.sent & 0xFFFF, self.timestamp, self.ssrc)
        level = 0x80 | self._level
        extensions = _AUDIO_EXTENSIONS.pack(0xBEDE, 2, 0x10, level, b"\x22\0\0", 0, 0)
        packet = header + extensions + _TAG.pack(_MAGIC, label, self.sent)
        packet += self._filler[len(packet) :]
        self.octets += len(packet)
        return packet


class VideoSource:
    """Frames of ``per_frame`` packets of ``size`` bytes, one layer; a keyframe when asked for one."""

    def __init__(self, ssrc: int, size: int, per_frame: int) -> None:
        self.ssrc = ssrc
        self.sent = 0
        self.octets = 0
        self.keyframe = True
        self._in_keyframe = False
        self._per_frame = per_frame
        self._first = ssrc & 0x7FFF
        self._filler = os.urandom(size)

    @property
    def timestamp(self) -> int:
        return self.sent // self._per_frame * 3000 & 0xFFFFFFFF

    def next(self, label: int) -> bytes:
        part = self.sent % self._per_frame
        if part == 0:
            self._in_keyframe, self.keyframe = self.keyframe, False
        timestamp = self.timestamp
        self.sent += 1
        ends = part == self._per_frame - 1
        header = _HEADER.pack(
            0x90, 228 if ends else 100, self._first + self.sent & 0xFFFF, timestamp, self.ssrc
        )
        frame = (0 if part else BEGIN) | (END if ends else 0) | (0 if self._in_keyframe else DEPENDS)
        # abs-send-time, transport sequence number, frame descriptor, each with its one-byte header.
        extensions = _VIDEO_EXTENSIONS.pack(
            0xBEDE, 3, 0x22, b"\0\0\0", 0x31, self.sent & 0xFFFF, 0xB2, frame, self.sent & 0xFFFF
        )
        packet = header + extensions + _TAG.pack(_MAGIC, label, self.sent)
        packet += self._filler[len(packet) :]
        self.octets += len(packet)
        return packet


class Stream:
    """What a receiver gets in one slot."""

    __slots__ = ("highest", "label", "lost", "received", "step", "wrong")

    def __init__(self) -> None:
        self.received = 0
        self.lost = 0
        self.wrong = 0
        """Packets that are not what their header says."""
        self.highest = -1
        self.label = -1
        self.step = 0

    def take(self, packet: bytes) -> None:
        """One decrypted packet of the slot's SSRC."""
        first, _, sequence, _, _, csrc, _, words = _OUTGOING.unpack_from(packet)
        magic, label, number = _TAG.unpack_from(packet, 20 + 4 * words)
        self.received += 1
        if first != 0x91 or magic != _MAGIC or label != csrc:
            self.wrong += 1
            return
        step = number - sequence & 0xFFFF
        if label != self.label:
            self.label = label
            self.step = step
        elif step != self.step:  # another number than its place in the stream says
            self.wrong += 1
            self.step = step
        if self.highest >= 0:
            self.lost += (sequence - self.highest - 1 + 0x8000 & 0xFFFF) - 0x8000
        self.highest = sequence
