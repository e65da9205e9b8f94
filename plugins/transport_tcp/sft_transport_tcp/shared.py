"""One port for all participants of a worker. A connection's first frame is an ICE check, whose user name says
whose it claims to be; it is theirs once the check was authenticated."""

from __future__ import annotations

from sft.model import Candidate
from sft.plugin import Finding, PortsExhausted, Receive, Services, TransportStats
from sft_transport_tcp.config import TcpConfig
from sft_transport_tcp.connections import Connections
from sft_transport_tcp.door import Door
from sft_transport_tcp.ports import TcpPorts
from sft_transport_tcp.transport import TcpTransport


class SharedTcpFactory:
    """Implements :class:`sft.plugin.TransportFactory`. The port is bound for the first participant, and then
    kept, or another program could take it meanwhile."""

    name = "tcp"

    def __init__(self, config: TcpConfig, services: Services) -> None:
        self._config = config
        self._services = services
        self._ports = TcpPorts(config, services)
        self._capacity = config.capacity if self._ports.pool.ports else 0
        self._connections = Connections(services, config.queue_bytes)
        self._transports: dict[Receive, TcpTransport] = {}
        self._door: Door | None = None
        self._candidates: list[Candidate] = []

    def open(self, receive: Receive) -> TcpTransport:
        if len(self._transports) >= self._capacity:
            raise PortsExhausted(f"all of {self._capacity} places at the TCP port are taken")
        if self._door is None:
            port, listeners = self._ports.take()
            try:
                self._door = Door(listeners, self._find, self._config, self._connections, self._services)
            except BaseException:
                self._ports.pool.give_back(port)
                raise
            self._candidates = self._ports.candidates(port)
        transport = TcpTransport(receive, self._candidates, self._on_close)
        self._transports[receive] = transport
        return transport

    def stats(self) -> TransportStats:
        return TransportStats(
            ports_total=self._capacity,
            ports_free=self._capacity - len(self._transports),
            connections=len(self._connections),
            queue_drops=self._connections.queue_drops,
        )

    def check(self) -> list[Finding]:
        return list(self._ports.findings())

    def close(self) -> None:
        for transport in list(self._transports.values()):
            transport.close()
        if self._door is not None:
            self._door.close()
            self._door = None

    def _find(self, first: bytes) -> TcpTransport | None:
        receive = self._services.route_untrusted(first)
        return None if receive is None else self._transports.get(receive)

    def _on_close(self, transport: TcpTransport) -> None:
        del self._transports[transport.receive]
