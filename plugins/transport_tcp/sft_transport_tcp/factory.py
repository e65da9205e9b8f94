"""One port per participant: handed out and taken back."""

from __future__ import annotations

from sft.plugin import Finding, Receive, Services, TransportStats
from sft_transport_tcp.config import TcpConfig
from sft_transport_tcp.connections import Connections
from sft_transport_tcp.door import Door
from sft_transport_tcp.ports import TcpPorts
from sft_transport_tcp.transport import TcpTransport


class TcpFactory:
    """Implements :class:`sft.plugin.TransportFactory`."""

    name = "tcp"

    def __init__(self, config: TcpConfig, services: Services) -> None:
        self._config = config
        self._services = services
        self._ports = TcpPorts(config, services)
        self._connections = Connections(services, config.queue_bytes)
        self._open: set[TcpTransport] = set()

    def open(self, receive: Receive) -> TcpTransport:
        port, listeners = self._ports.take()

        def on_close(transport: TcpTransport) -> None:
            door.close()
            self._open.discard(transport)
            self._ports.pool.give_back(port)

        transport = TcpTransport(receive, self._ports.candidates(port), on_close)
        try:
            door = Door(listeners, lambda frame: transport, self._config, self._connections, self._services)
        except BaseException:
            self._ports.pool.give_back(port)
            raise
        self._open.add(transport)
        return transport

    def stats(self) -> TransportStats:
        return TransportStats(
            ports_total=len(self._ports.pool.ports),
            ports_free=len(self._ports.pool.free),
            connections=len(self._connections),
            queue_drops=self._connections.queue_drops,
        )

    def check(self) -> list[Finding]:
        return list(self._ports.findings())

    def close(self) -> None:
        for transport in list(self._open):
            transport.close()
