"""The listening sockets of one port number, and the connections that have not said whose they are."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

from sft.model import Address, Drop
from sft.plugin import Services
from sft_transport_tcp.config import TcpConfig
from sft_transport_tcp.connection import TcpConnection
from sft_transport_tcp.connections import Connections
from sft_transport_tcp.sockets import network_of, prepare, refuse
from sft_transport_tcp.transport import TcpTransport

ACCEPTS = 16
"""Connections accepted per wake-up of a listener."""

PAUSE_SECONDS = 1.0
"""Without a descriptor to spare a listener stays readable; it is looked at again after this."""

_NO_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door:
    """Accepts within limits. ``find`` says whose a first frame claims to be."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        find: Callable[[bytes], TcpTransport | None],
        config: TcpConfig,
        connections: Connections,
        services: Services,
    ) -> None:
        """Closes ``listeners``, also when that fails."""
        self._listeners = listeners
        self._find = find
        self._config = config
        self._connections = connections
        self._services = services
        self._pending: dict[TcpConnection, None] = {}
        self._networks: Counter[str | bytes] = Counter()
        self._closed = False
        self._watched: set[socket.socket] = set()
        try:
            for listener in listeners:
                self._watch(listener)
        except BaseException:
            self.close()
            raise

    def receive_unproven(self, connection: TcpConnection, frame: bytes, now: float) -> None:
        """A frame of a connection that has not proven yet whose it is."""
        transport = self._find(frame)
        if transport is None:
            self._services.drops.count(Drop.NO_PEER)
            connection.close()
            return
        proven = transport.receive(connection, frame, connection.address, now)
        if proven and not connection.closed and not transport.closed:
            self.discard(connection)
            transport.adopt(connection)

    def discard(self, connection: TcpConnection) -> None:
        """The connection is closed, or proven."""
        if connection in self._pending:
            del self._pending[connection]
            network = network_of(connection.address)
            self._networks[network] -= 1
            if not self._networks[network]:
                del self._networks[network]

    def close(self) -> None:
        """Nobody is let in any more, and who waits is sent away."""
        self._closed = True
        for listener in self._listeners:
            if listener in self._watched:
                self._services.unwatch(listener.fileno())
            listener.close()
        for connection in list(self._pending):
            connection.close()

    def _watch(self, listener: socket.socket) -> None:
        self._services.watch(listener.fileno(), partial(self._accept, listener))
        self._watched.add(listener)

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(ACCEPTS):
            try:
                accepted, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _NO_RESOURCES:
                    self._pause(listener, now)
                    return
                continue  # that connection was gone before it was accepted
            try:
                self._admit(accepted, address, now)
            except OSError:
                accepted.close()

    def _admit(self, accepted: socket.socket, address: Address, now: float) -> None:
        network = network_of(address)
        if self._networks[network] >= self._config.pending_per_address:
            self._services.drops.count(Drop.CONNECTION_REFUSED)
            refuse(accepted)
            return
        if len(self._pending) >= self._config.pending:
            self._services.drops.count(Drop.CONNECTION_REFUSED)
            next(iter(self._pending)).close()
        prepare(accepted)
        connection = TcpConnection(accepted, address, self, self._connections, self._services, now)
        self._pending[connection] = None
        self._networks[network] += 1
        self._connections.add(connection, now)

    def _pause(self, listener: socket.socket, now: float) -> None:
        self._services.warn("transport_tcp.no_descriptors", pause_seconds=PAUSE_SECONDS)
        self._services.unwatch(listener.fileno())
        self._watched.discard(listener)
        self._services.call_at(now + PAUSE_SECONDS, partial(self._resume, listener))

    def _resume(self, listener: socket.socket, now: float) -> None:
        if self._closed:
            return
        try:
            self._watch(listener)
        except OSError:
            self._services.call_at(now + PAUSE_SECONDS, partial(self._resume, listener))
