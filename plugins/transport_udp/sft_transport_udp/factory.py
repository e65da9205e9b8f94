"""One port per participant: handed out and taken back."""

from __future__ import annotations

from sft.plugin import Finding, Receive, Services, TransportStats
from sft_transport_udp.base import UdpBase
from sft_transport_udp.config import UdpConfig
from sft_transport_udp.overflows import Overflows
from sft_transport_udp.ports import UdpPorts
from sft_transport_udp.segments import find_segments
from sft_transport_udp.transport import UdpTransport


class UdpFactory:
    """Implements :class:`sft.plugin.TransportFactory`."""

    name = "udp"

    def __init__(self, config: UdpConfig, services: Services) -> None:
        self._services = services
        self._ports = UdpPorts(config, services)
        self._segments = find_segments(config.segments, services)
        self._open: set[UdpTransport] = set()
        self._drops_of_closed = 0
        self._overflows = Overflows()

    def open(self, receive: Receive) -> UdpTransport:
        port, sockets = self._ports.take()
        bases = [UdpBase(bound, receive, self._services.drops, segments=self._segments) for bound in sockets]
        candidates = self._ports.candidates(port)
        ends = self._ports.ends(bases, candidates)
        transport = UdpTransport(port, candidates, ends, self._on_close)
        self._open.add(transport)
        try:
            for base in bases:
                base.watch(self._services)
        except BaseException:
            transport.close()
            raise
        return transport

    def stats(self) -> TransportStats:
        drops = self._drops_of_closed + sum(one.kernel_drops() for one in self._open)
        return TransportStats(
            ports_total=len(self._ports.pool.ports),
            ports_free=len(self._ports.pool.free),
            kernel_drops=drops,
            buffer_drops=self._overflows.among(drops),
        )

    def check(self) -> list[Finding]:
        return list(self._ports.findings())

    def close(self) -> None:
        for transport in list(self._open):
            transport.close()

    def _on_close(self, transport: UdpTransport) -> None:
        self._open.discard(transport)
        self._drops_of_closed += transport.kernel_drops()
        self._ports.pool.give_back(transport.port)
