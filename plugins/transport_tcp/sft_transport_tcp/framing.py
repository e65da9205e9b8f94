"""Datagrams on a stream: each after its length in two bytes (RFC 4571 section 2)."""

from __future__ import annotations

from struct import Struct

from sft.errors import BadPacket
from sft.model import Drop

MAX_FRAME = 2048
"""Bytes of a datagram, as on UDP: more than any peer sends that respects the path MTU."""

_LENGTH = Struct("!H")


def to_frame(data: bytes) -> bytes:
    """A datagram of at most 65535 bytes, as it goes on the wire."""
    return _LENGTH.pack(len(data)) + data


class FrameReader:
    """Takes a stream apart. Keeps at most one incomplete frame."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._rest)

    def feed_untrusted(self, data: bytes) -> list[bytes]:
        """The datagrams that ``data`` completes, empty ones left out.

        ``BadPacket``: a frame is too large, and what follows cannot be told from it: close.
        """
        if self._rest:
            data = self._rest + data
        frames: list[bytes] = []
        position, size = 0, len(data)
        while size - position >= 2:
            begin = position + 2
            length = data[position] << 8 | data[position + 1]
            if length > MAX_FRAME:
                raise BadPacket(Drop.TOO_LARGE, f"a frame of {length} bytes")
            if begin + length > size:
                break
            position = begin + length
            if length:
                frames.append(data[begin:position])
        self._rest = data[position:]
        return frames
