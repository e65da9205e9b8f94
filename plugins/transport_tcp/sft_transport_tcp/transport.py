"""One participant's connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sft.model import Candidate
from sft.plugin import Receive
from sft_transport_tcp.connection import TcpConnection

MAX_CONNECTIONS = 8
"""Per participant; the oldest makes room. A browser opens one per interface."""


class TcpTransport:
    """Implements :class:`sft.plugin.Transport`."""

    __slots__ = ("_connections", "_on_close", "candidates", "closed", "receive")

    def __init__(
        self, receive: Receive, candidates: Sequence[Candidate], on_close: Callable[[TcpTransport], None]
    ) -> None:
        self.receive = receive
        self.candidates = candidates
        self.closed = False
        self._on_close = on_close
        self._connections: dict[TcpConnection, None] = {}

    def adopt(self, connection: TcpConnection) -> None:
        """The connection has proven that it is this participant's."""
        connection.transport = self
        self._connections[connection] = None
        if len(self._connections) > MAX_CONNECTIONS:
            next(iter(self._connections)).close()

    def discard(self, connection: TcpConnection) -> None:
        self._connections.pop(connection, None)

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for connection in list(self._connections):
            connection.close()
        self._on_close(self)
