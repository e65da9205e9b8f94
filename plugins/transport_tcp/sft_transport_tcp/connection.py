"""One accepted TCP connection: the base of the paths on it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from sft.errors import BadPacket
from sft.model import Address, Drop
from sft.plugin import Services
from sft_transport_tcp.framing import FrameReader, to_frame
from sft_transport_tcp.queue import SendQueue

if TYPE_CHECKING:
    from sft_transport_tcp.connections import Connections
    from sft_transport_tcp.door import Door
    from sft_transport_tcp.transport import TcpTransport

READ_BYTES = 16384
"""Read per wake-up; the epoll is level-triggered and comes back for the rest."""

PROOF_SECONDS = 10.0
"""In which a connection has to prove by an authenticated check whose it is."""

FRAME_SECONDS = 10.0
"""In which a frame that has begun has to end."""

SILENCE_SECONDS = 30.0
"""Consent expires after as long (RFC 7675 section 5.1): for a peer that sends no frame, and for one
that reads nothing while something waits for it."""


class TcpConnection:
    """Implements :class:`sft.plugin.Base`."""

    __slots__ = (
        "_accepted_at",
        "_blocked_at",
        "_connections",
        "_door",
        "_framed_at",
        "_queue",
        "_reader",
        "_services",
        "_socket",
        "address",
        "closed",
        "transport",
    )

    fd: int | None = None
    """What is sent has to be framed and queued."""

    def __init__(
        self,
        accepted: socket.socket,
        address: Address,
        door: Door,
        connections: Connections,
        services: Services,
        now: float,
    ) -> None:
        self.address = address
        self.closed = False
        self.transport: TcpTransport | None = None
        """Whose it is proven to be."""
        self._socket = accepted
        self._door = door
        self._connections = connections
        self._services = services
        self._reader = FrameReader()
        self._queue = SendQueue(connections.queue_bytes, connections.count_drop)
        self._accepted_at = self._framed_at = now
        self._blocked_at: float | None = None
        """Since when the peer has taken nothing of what waits for it; None: nothing waits."""
        services.watch(accepted.fileno(), self.on_readable, self.on_writable)

    def on_readable(self, now: float) -> None:
        """Hand up what has come, at most ``READ_BYTES``."""
        try:
            data = self._socket.recv(READ_BYTES)
            begun = self._reader.partial
            frames = self._reader.feed_untrusted(data)
        except BlockingIOError:
            return
        except BadPacket as bad:
            self._services.drops.count(bad.reason)
            self.close()
            return
        except OSError:
            data = b""
        if not data:  # nobody sends and reads on a connection that the other side has closed
            self.close()
            return
        if frames or not begun:
            self._framed_at = now
        for frame in frames:
            if self.transport is not None:
                self.transport.receive(self, frame, self.address, now)
            else:
                self._door.receive_unproven(self, frame, now)
            if self.closed:  # by what it just received
                return

    def send(self, data: bytes, address: Address) -> None:
        """Write, or queue what the kernel does not take. ``OSError``: the connection is gone."""
        frame = to_frame(data)
        if not self._queue:
            try:
                sent = self._socket.send(frame)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                raise
            if sent == len(frame):
                return
            self._services.want_write(self._socket.fileno(), True)
            self._blocked_at = self._services.now()
            if sent:
                self._queue.put_back(frame[sent:])
                return
        if b"\x80" <= data[:1] < b"\xc0":  # RFC 7983: SRTP and SRTCP
            self._queue.add_media(frame, self._services.now())
            return
        self._queue.add_signalling(frame)
        if self._queue.overfull:
            self._services.drops.count(Drop.CONNECTION_STALLED)
            self.close()

    def on_writable(self, now: float) -> None:
        """Write what waits, as much as the kernel takes."""
        queue = self._queue
        while chunk := queue.take(now):
            try:
                sent = self._socket.send(chunk)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.close()
                return
            if sent:
                self._blocked_at = now
            if sent < len(chunk):
                queue.put_back(chunk[sent:])
                return
        self._blocked_at = None
        self._services.want_write(self._socket.fileno(), False)

    def is_overdue(self, now: float) -> bool:
        """Whether one of the deadlines has passed."""
        return (
            now - self._framed_at > SILENCE_SECONDS
            or (self._reader.partial and now - self._framed_at > FRAME_SECONDS)
            or (self.transport is None and now - self._accepted_at > PROOF_SECONDS)
            or (self._blocked_at is not None and now - self._blocked_at > SILENCE_SECONDS)
        )

    def close(self) -> None:
        """May be called twice."""
        if self.closed:
            return
        self.closed = True
        self._services.unwatch(self._socket.fileno())
        self._socket.close()
        self._queue.clear()
        self._connections.discard(self)
        self._door.discard(self)
        if self.transport is not None:
            self.transport.discard(self)
