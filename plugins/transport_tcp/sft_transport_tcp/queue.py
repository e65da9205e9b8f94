"""What a slow reader has not taken yet: bounded, and first what matters most."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

MAX_SIGNALLING = 256 * 1024
"""Bytes. Peers answer what they get, so this much piles up only for one that asks and never reads."""

MAX_AGE = 0.5
"""Seconds after which media is worth nothing any more."""

CHUNK = 16384
"""Bytes handed to the kernel at once, about."""


class SendQueue:
    """Frames on their way out. Signalling (STUN, DTLS) goes before media and is never dropped; of media
    the oldest is dropped when it takes more than ``media_bytes``, or too long.

    A frame of which a part is gone already has to be completed: that is the rest.
    """

    __slots__ = (
        "_max_media",
        "_media",
        "_media_bytes",
        "_on_drop",
        "_rest",
        "_signalling",
        "_signalling_bytes",
    )

    def __init__(self, media_bytes: int, on_drop: Callable[[], None]) -> None:
        """``on_drop`` is called for each frame that is dropped."""
        self._rest = b""
        self._signalling: deque[bytes] = deque()
        self._signalling_bytes = 0
        self._media: deque[tuple[float, bytes]] = deque()
        self._media_bytes = 0
        self._max_media = media_bytes
        self._on_drop = on_drop

    def __bool__(self) -> bool:
        return bool(self._rest or self._signalling or self._media)

    @property
    def overfull(self) -> bool:
        """There is more signalling than any reader in good faith lets pile up."""
        return self._signalling_bytes > MAX_SIGNALLING

    def add_signalling(self, frame: bytes) -> None:
        self._signalling.append(frame)
        self._signalling_bytes += len(frame)

    def add_media(self, frame: bytes, now: float) -> None:
        self._media.append((now, frame))
        self._media_bytes += len(frame)
        while self._media_bytes > self._max_media:
            self._drop_oldest()

    def take(self, now: float) -> bytes:
        """What to write next; empty: nothing is left."""
        while self._media and self._media[0][0] < now - MAX_AGE:
            self._drop_oldest()
        frames = [self._rest]
        size = len(self._rest)
        self._rest = b""
        while size < CHUNK and self._signalling:
            frame = self._signalling.popleft()
            self._signalling_bytes -= len(frame)
            frames.append(frame)
            size += len(frame)
        while size < CHUNK and self._media:
            _, frame = self._media.popleft()
            self._media_bytes -= len(frame)
            frames.append(frame)
            size += len(frame)
        return b"".join(frames)

    def put_back(self, rest: bytes) -> None:
        """The part of what was taken that could not be written."""
        self._rest = rest

    def clear(self) -> None:
        self._rest = b""
        self._signalling.clear()
        self._media.clear()
        self._signalling_bytes = self._media_bytes = 0

    def _drop_oldest(self) -> None:
        _, frame = self._media.popleft()
        self._media_bytes -= len(frame)
        self._on_drop()
