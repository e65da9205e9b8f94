"""All connections of a worker, and the deadlines they have to keep."""

from __future__ import annotations

from sft.model import Drop
from sft.plugin import Services
from sft_transport_tcp.connection import TcpConnection

SWEEP_SECONDS = 1.0
"""One timer for all: a deadline of a connection is late by up to this."""


class Connections:
    """One per factory."""

    def __init__(self, services: Services, queue_bytes: int) -> None:
        self.queue_bytes = queue_bytes
        self.queue_drops = 0
        self._services = services
        self._connections: set[TcpConnection] = set()
        self._armed = False

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: TcpConnection, now: float) -> None:
        self._connections.add(connection)
        self._arm(now)

    def discard(self, connection: TcpConnection) -> None:
        self._connections.discard(connection)

    def count_drop(self) -> None:
        """Something was dropped from a connection's queue."""
        self.queue_drops += 1
        self._services.drops.count(Drop.SLOW_READER)

    def _arm(self, now: float) -> None:
        if not self._armed and self._connections:
            self._armed = True
            self._services.call_at(now + SWEEP_SECONDS, self._sweep)

    def _sweep(self, now: float) -> None:
        self._armed = False
        for connection in [one for one in self._connections if one.is_overdue(now)]:
            self._services.drops.count(Drop.CONNECTION_STALLED)
            connection.close()
        self._arm(now)
