"""What both factories know: how this worker's ports are bound, and what is wrong with them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Final

from sft.model import Candidate
from sft.plugin import (
    Finding,
    PortPool,
    Services,
    check_addresses,
    check_descriptors,
    check_ports,
    host_candidate,
)
from sft_transport_tcp.config import TcpConfig
from sft_transport_tcp.sockets import listen_tcp

TYPE_PREFERENCE: Final = 1
"""Far below host candidates on UDP (126; RFC 6544 section 4.2 wants it lower), and below what browsers give
their own candidates relayed over UDP (2 and more): media goes over TCP when nothing else is left. Above
those relayed over TCP or TLS (0 and 1, of lower local preference): without a relay is better then."""


class TcpPorts:
    """A worker's slice of the range, and the listeners of a port: one per address."""

    def __init__(self, config: TcpConfig, services: Services) -> None:
        self._config = config
        self._addresses = config.resolved()
        self._hosts = tuple(dict.fromkeys(address.bind for address in self._addresses))
        self.pool = PortPool(config.slice_of(services.worker, services.workers), "TCP", self._hosts)

    def take(self) -> tuple[int, list[socket.socket]]:
        """A free port, bound and listening. Raises as :meth:`sft.plugin.PortPool.take`."""
        return self.pool.take(self._listen)

    def candidates(self, port: int) -> list[Candidate]:
        """Passive ones: the client connects (RFC 6544 section 4.1)."""
        return [
            host_candidate(
                one.advertised, port, rank, protocol="tcp", preference=TYPE_PREFERENCE, tcptype="passive"
            )
            for rank, one in enumerate(self._addresses)
        ]

    def findings(self) -> Iterator[Finding]:
        yield from check_addresses(self._addresses, listen_tcp)
        yield from check_ports(self.pool.ports, self.pool.free, self._listen)
        participants = self._config.capacity if self._config.shared else len(self.pool.ports)
        needed = participants + len(self.pool.ports) * len(self._hosts) + self._config.pending
        yield from check_descriptors(needed, "one per port and address, and one per participant")

    def _listen(self, port: int) -> list[socket.socket]:
        listeners: list[socket.socket] = []
        try:
            listeners += (listen_tcp(host, port) for host in self._hosts)
        except BaseException:
            for listener in listeners:
                listener.close()
            raise
        return listeners
