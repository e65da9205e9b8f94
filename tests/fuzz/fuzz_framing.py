"""RFC 4571 framing: however a stream is cut, the same datagrams come out, or the same BadPacket."""

from __future__ import annotations

from sft.errors import BadPacket
from sft_transport_tcp.framing import MAX_FRAME, FrameReader, to_frame


def fuzz(data: bytes) -> None:
    """Raises only if the code under test misbehaves."""
    half = max(3, len(data) // 2)
    whole, cut = _read([data]), _read([data[:1], data[1:3], data[3:half], data[half:]])
    if whole[1] != cut[1] or (not whole[1] and whole != cut):
        raise AssertionError("how the stream was cut made a difference")


def _read(pieces: list[bytes]) -> tuple[list[bytes], bool]:
    """The datagrams, and whether the stream was refused."""
    reader, frames = FrameReader(), []
    for piece in pieces:
        if not piece:
            continue
        try:
            frames += reader.feed_untrusted(piece)
        except BadPacket:
            return frames, True
        if len(reader._rest) > MAX_FRAME + 1:
            raise AssertionError("more than one incomplete frame is kept")
    if any(not 0 < len(frame) <= MAX_FRAME for frame in frames):
        raise AssertionError("a frame of a size that nobody may send")
    return frames, False


def seeds() -> list[bytes]:
    """Streams of frames as clients send them, and cut ones."""
    sizes = ([1], [100, 20, 1200], [0, 3, 0], [MAX_FRAME], [1100] * 3)
    streams = [b"".join(to_frame(bytes([size & 255]) * size) for size in row) for row in sizes]
    return [*streams, streams[1][:-7], (MAX_FRAME + 1).to_bytes(2, "big") + bytes(MAX_FRAME + 1)]
