"""How a relay is talked to: a UDP socket, or a TCP connection with or without TLS."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import trio

from sft.calls.timers import TimerHeap
from sft.model import Address
from sft.server.pump import Pump

MAX_DATAGRAM = 2048
DRAIN = 16
"""Datagrams read per wake-up."""
CHUNK = 65536
FULL = 128 * 1024
"""Bytes waiting for a slow connection at which peers' datagrams are dropped."""
MAX_UNSENT = 2 * FULL
"""Bytes at which requests to the server are dropped too; on a stream they are not repeated."""
RETRY = 0.01
"""Seconds until a full connection is tried again."""


class Link(Protocol):
    """Made connected. ``on_data(data, now)``: from the server; ``on_closed(now)``: the connection ended."""

    on_data: Callable[[bytes, float], None]
    on_closed: Callable[[float], None]

    @property
    def is_stream(self) -> bool: ...

    @property
    def is_full(self) -> bool:
        """Whether only what is important should be sent."""

    def send(self, data: bytes) -> None:
        """``OSError``, also ``BlockingIOError``: it was dropped."""

    def close(self) -> None:
        """May be called twice."""


class UdpLink:
    """Talks to the server, and also directly to anybody else: ``on_other(data, address, now)``."""

    is_stream = False
    is_full = False

    def __init__(self, server: Address, family: socket.AddressFamily, pump: Pump) -> None:
        self.on_data: Callable[[bytes, float], None] = lambda data, now: None
        self.on_closed: Callable[[float], None] = lambda now: None
        self.on_other: Callable[[bytes, Address, float], None] = lambda data, address, now: None
        self._server = server
        self._pump = pump
        self._socket: socket.socket | None = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))
        pump.watch(self._socket.fileno(), self._on_readable)

    def send(self, data: bytes) -> None:
        self.send_to(data, self._server)

    def send_to(self, data: bytes, address: Address) -> None:
        if self._socket is None:
            raise OSError(errno.EBADF, "the relay is closed")
        self._socket.sendto(data, address)

    def close(self) -> None:
        if self._socket is not None:
            self._pump.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _on_readable(self, now: float) -> None:
        for _ in range(DRAIN):
            if self._socket is None:  # closed by what it just received
                return
            try:
                data, address = self._socket.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error that something sent earlier caused
                continue
            if address[:2] == self._server[:2]:
                self.on_data(data, now)
            else:
                self.on_other(data, address, now)


class StreamLink:
    """A TCP connection, with TLS if there is a context."""

    is_stream = True

    def __init__(
        self, connected: socket.socket, tls: ssl.SSLObject | None, bios: Bios, pump: Pump, timers: TimerHeap
    ) -> None:
        self.on_data: Callable[[bytes, float], None] = lambda data, now: None
        self.on_closed: Callable[[float], None] = lambda now: None
        self._socket: socket.socket | None = connected
        self._tls = tls
        self._bios = bios
        self._pump = pump
        self._unsent = bytearray()
        self._retry = timers.timer(self._retry_sending)
        pump.watch(connected.fileno(), self._on_readable)

    @property
    def is_full(self) -> bool:
        return len(self._unsent) > FULL

    def send(self, data: bytes) -> None:
        if self._socket is None:
            raise OSError(errno.EBADF, "the relay is closed")
        if len(self._unsent) > MAX_UNSENT:
            raise BlockingIOError(errno.EAGAIN, "the relay's connection is full")
        if self._tls is None:
            self._unsent += data
        else:
            self._tls.write(data)
            self._unsent += self._bios.outgoing.read()
        self._send_more(trio.current_time())

    def close(self) -> None:
        self._retry.cancel()
        self._unsent.clear()
        if self._socket is not None:
            self._pump.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _retry_sending(self, now: float) -> None:
        with suppress(OSError):  # what waited is lost with the connection, as is what the kernel held
            self._send_more(now)

    def _send_more(self, now: float) -> None:
        """``OSError``: the connection has ended."""
        if self._socket is None or not self._unsent:
            return
        try:
            sent = self._socket.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._end(now)
            raise
        del self._unsent[:sent]
        if self._unsent:
            self._retry.set(now + RETRY)

    def _on_readable(self, now: float) -> None:
        if self._socket is None:
            return
        try:
            chunk = self._socket.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._end(now)
        elif self._tls is None:
            self.on_data(chunk, now)
        else:
            self._bios.incoming.write(chunk)
            self._decrypt(now)

    def _decrypt(self, now: float) -> None:
        while self._tls is not None and self._socket is not None:
            try:
                data = self._tls.read(CHUNK)
            except ssl.SSLWantReadError:
                return
            except (ssl.SSLError, OSError):
                data = b""
            if not data:
                self._end(now)
                return
            self.on_data(data, now)

    def _end(self, now: float) -> None:
        self.close()
        self.on_closed(now)


class Bios:
    """Where TLS puts what it wants sent, and finds what came."""

    def __init__(self) -> None:
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()


async def open_stream_link(
    server: Address,
    family: socket.AddressFamily,
    tls: ssl.SSLContext | None,
    name: str,
    pump: Pump,
    timers: TimerHeap,
) -> StreamLink:
    """Connects and shakes hands; ``OSError`` (also of TLS) if the server does not want. ``name``: whom
    its certificate must be of."""
    connecting = trio.socket.socket(family, socket.SOCK_STREAM)
    try:
        await connecting.connect(server)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bios = Bios()
        secured = None
        if tls is not None:
            secured = tls.wrap_bio(bios.incoming, bios.outgoing, server_hostname=name)
            await _shake_hands(secured, bios, connecting)
        # From here on the pump reads it. A copy of the descriptor, because trio keeps its own.
        plain = socket.socket(fileno=os.dup(connecting.fileno()))
    finally:
        connecting.close()
    plain.setblocking(False)
    return StreamLink(plain, secured, bios, pump, timers)


async def _shake_hands(tls: ssl.SSLObject, bios: Bios, stream: trio.socket.SocketType) -> None:
    while True:
        try:
            tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        pending = bios.outgoing.read()
        while pending:
            pending = pending[await stream.send(pending) :]
        if done:
            return
        chunk = await stream.recv(CHUNK)
        if not chunk:
            raise ConnectionResetError("the relay closed the connection")
        bios.incoming.write(chunk)
