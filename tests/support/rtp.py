"""RTP packets as clients send and get them, written and read without any code of the server."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import attrs

OPUS = 111
VP8 = 100

AUDIO_LEVEL = 1
ABS_SEND_TIME = 2
TRANSPORT_SEQUENCE = 3
RID = 4
FRAME_DESCRIPTOR = 11

ONE_BYTE_PROFILE = 0xBEDE

T = TypeVar("T")


@attrs.frozen
class RtpPacket:
    """One packet (RFC 3550 section 5.1) with one-byte header extensions (RFC 8285 section 4.2)."""

    ssrc: int
    sequence: int
    timestamp: int
    payload: bytes = attrs.field(repr=False)
    payload_type: int = OPUS
    marker: bool = False
    extensions: Mapping[int, bytes] = attrs.field(factory=dict)
    csrc: tuple[int, ...] = ()
    padding: int = 0
    """Bytes of padding after the payload, the count included; 0: the padding bit is clear."""

    def pack(self) -> bytes:
        block = _pack_extensions(self.extensions)
        first = 0x80 | (0x20 if self.padding else 0) | (0x10 if block else 0) | len(self.csrc)
        header = bytes([first, self.payload_type | (0x80 if self.marker else 0)])
        header += (self.sequence % 2**16).to_bytes(2, "big") + (self.timestamp % 2**32).to_bytes(4, "big")
        header += b"".join(number.to_bytes(4, "big") for number in (self.ssrc, *self.csrc))
        padding = bytes(self.padding - 1) + bytes([self.padding]) if self.padding else b""
        return header + block + self.payload + padding

    @classmethod
    def parse(cls, data: bytes) -> RtpPacket:
        """Read one packet; any mistake in it is an exception, for the server made it."""
        first, second = data[0], data[1]
        if first >> 6 != 2:
            raise ValueError(f"RTP version {first >> 6}")
        end = 12 + 4 * (first & 0x0F)
        csrc = tuple(int.from_bytes(data[at : at + 4], "big") for at in range(12, end, 4))
        extensions: Mapping[int, bytes] = {}
        if first & 0x10:
            if int.from_bytes(data[end : end + 2], "big") != ONE_BYTE_PROFILE:
                raise ValueError("not one-byte header extensions")
            start, end = end + 4, end + 4 + 4 * int.from_bytes(data[end + 2 : end + 4], "big")
            extensions = _parse_extensions(data[start:end])
        padding = data[-1] if first & 0x20 else 0
        return cls(
            ssrc=int.from_bytes(data[8:12], "big"),
            sequence=int.from_bytes(data[2:4], "big"),
            timestamp=int.from_bytes(data[4:8], "big"),
            payload=data[end : len(data) - padding],
            payload_type=second & 0x7F,
            marker=bool(second & 0x80),
            extensions=extensions,
            csrc=csrc,
            padding=padding,
        )


def audio(
    ssrc: int,
    count: int,
    *,
    sequence: int = 1000,
    timestamp: int = 48000,
    level: int = 20,
    size: int = 80,
    seed: int = 1,
) -> list[RtpPacket]:
    """``count`` packets of 20 ms with random payloads. ``level``: 0 loud to 127 silent."""
    chance = random.Random(f"audio {ssrc} {sequence} {seed}")
    return [
        RtpPacket(
            ssrc=ssrc,
            sequence=(sequence + index) % 2**16,
            timestamp=(timestamp + 960 * index) % 2**32,
            payload=chance.randbytes(size),
            extensions={AUDIO_LEVEL: bytes([0x80 | level]), ABS_SEND_TIME: chance.randbytes(3)},
        )
        for index in range(count)
    ]


def video(
    ssrc: int,
    frames: int,
    *,
    per_frame: int = 3,
    keyframes: Iterable[int] = (0,),
    sequence: int = 2000,
    timestamp: int = 90000,
    rid: str = "",
    size: int = 1000,
    seed: int = 1,
) -> list[RtpPacket]:
    """``frames`` frames of ``per_frame`` packets at 30 a second, with random payloads; those numbered in
    ``keyframes`` start a keyframe. ``rid``: the simulcast layer, told in every packet."""
    chance = random.Random(f"video {ssrc} {sequence} {seed}")
    wanted = set(keyframes)
    packets = []
    for index in range(frames * per_frame):
        frame, part = divmod(index, per_frame)
        extensions = {
            ABS_SEND_TIME: chance.randbytes(3),
            TRANSPORT_SEQUENCE: ((sequence + index) % 2**16).to_bytes(2, "big"),
            FRAME_DESCRIPTOR: _frame_descriptor(part == 0, part == per_frame - 1, frame in wanted),
        }
        if rid:
            extensions[RID] = rid.encode()
        packets.append(
            RtpPacket(
                ssrc=ssrc,
                sequence=(sequence + index) % 2**16,
                timestamp=(timestamp + 3000 * frame) % 2**32,
                payload=chance.randbytes(size),
                payload_type=VP8,
                marker=part == per_frame - 1,
                extensions=extensions,
            )
        )
    return packets


def padding_only(like: RtpPacket, sequence: int) -> RtpPacket:
    """A probe as senders slip them in: no payload, padding only."""
    return attrs.evolve(like, sequence=sequence % 2**16, payload=b"", marker=False, padding=200)


def steps(numbers: Sequence[int], modulus: int = 2**16) -> list[int]:
    """The differences between neighbours; of a gapless stream all are 1."""
    return [
        (later - earlier + modulus // 2) % modulus - modulus // 2
        for earlier, later in itertools.pairwise(numbers)
    ]


def by_slot(packets: Iterable[RtpPacket]) -> dict[int, list[RtpPacket]]:
    """Received packets by their SSRC."""
    slots: dict[int, list[RtpPacket]] = {}
    for packet in packets:
        slots.setdefault(packet.ssrc, []).append(packet)
    return slots


def interleave(*streams: Sequence[T]) -> list[T]:
    """The streams' elements in turn, so that all streams end at about the same time."""
    longest = max(map(len, streams))
    keyed = [
        (index * longest / len(stream), number, element)
        for number, stream in enumerate(streams)
        for index, element in enumerate(stream)
    ]
    return [element for _, _, element in sorted(keyed, key=lambda entry: entry[:2])]


def _frame_descriptor(starts: bool, ends: bool, keyframe: bool) -> bytes:
    """Generic frame descriptor 00: begin 0x80, end 0x40, depends on other frames 0x08."""
    return bytes([(0x80 if starts else 0) | (0x40 if ends else 0) | (0 if keyframe else 0x08), 0, 0])


def _pack_extensions(extensions: Mapping[int, bytes]) -> bytes:
    if not extensions:
        return b""
    body = b"".join(bytes([id << 4 | (len(value) - 1)]) + value for id, value in extensions.items())
    body += bytes(-len(body) % 4)
    return ONE_BYTE_PROFILE.to_bytes(2, "big") + (len(body) // 4).to_bytes(2, "big") + body


def _parse_extensions(block: bytes) -> dict[int, bytes]:
    extensions = {}
    at = 0
    while at < len(block):
        id, length = block[at] >> 4, (block[at] & 0x0F) + 1
        if id == 0:  # padding
            at += 1
            continue
        extensions[id] = block[at + 1 : at + 1 + length]
        at += 1 + length
    return extensions
