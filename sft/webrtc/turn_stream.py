"""TURN messages on a byte stream: TCP or TLS to the server (RFC 8656 sections 3.1 and 12.5)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from sft.errors import BadPacket
from sft.model import Drop

_HEADER = Struct("!HH")
_STUN_HEADER: Final = 20
_CHANNEL_HEADER: Final = 4


class TurnStream:
    """Cuts a stream into STUN messages and ChannelData, without its padding. Holds one message at most."""

    __slots__ = ("_buffer", "_garbled")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._garbled = False

    def feed_untrusted(self, chunk: bytes) -> list[bytes]:
        """The messages that are complete now. After an exception it is of no use and keeps nothing."""
        if self._garbled:
            raise BadPacket(Drop.STUN_MALFORMED, "the stream was garbled before")
        buffer = self._buffer
        buffer += chunk
        messages = []
        begin = 0
        while len(buffer) - begin >= _CHANNEL_HEADER:
            kind, length = _HEADER.unpack_from(buffer, begin)
            if kind < 0x4000:
                size = room = _STUN_HEADER + length
            elif kind < 0x5000:
                size = _CHANNEL_HEADER + length
                room = size + (-size & 3)
            else:
                self._garbled = True
                buffer.clear()
                raise BadPacket(Drop.STUN_MALFORMED, "neither STUN nor ChannelData on the stream")
            if len(buffer) - begin < room:
                break
            messages.append(bytes(buffer[begin : begin + size]))
            begin += room
        del buffer[:begin]
        return messages
