"""What both factories know: how this worker's ports are bound, and what is wrong with them."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence

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
from sft_transport_udp.base import UdpBase
from sft_transport_udp.config import UdpConfig
from sft_transport_udp.garbage import drop_garbage
from sft_transport_udp.sockets import bind_udp, mark, set_buffer


class UdpPorts:
    """A worker's slice of the range, and the sockets of a port: one per address."""

    def __init__(self, config: UdpConfig, services: Services) -> None:
        self._config = config
        self._services = services
        self._addresses = config.resolved()
        self._hosts = tuple(dict.fromkeys(address.bind for address in self._addresses))
        self._short_buffer_logged = self._no_filter_logged = False
        self.pool = PortPool(config.slice_of(services.worker, services.workers), "UDP", self._hosts)

    def take(self) -> tuple[int, list[socket.socket]]:
        """A free port, bound. Raises as :meth:`sft.plugin.PortPool.take`."""
        return self.pool.take(self._bind)

    def candidates(self, port: int) -> list[Candidate]:
        return [host_candidate(one.advertised, port, rank) for rank, one in enumerate(self._addresses)]

    def ends(
        self, bases: Sequence[UdpBase], candidates: Sequence[Candidate]
    ) -> list[tuple[UdpBase, Candidate]]:
        """Each base with the best of its candidates."""
        binds = [address.bind for address in self._addresses]
        return [(base, candidates[binds.index(host)]) for base, host in zip(bases, self._hosts, strict=True)]

    def findings(self) -> Iterator[Finding]:
        yield from check_addresses(self._addresses, bind_udp)
        yield from check_ports(self.pool.ports, self.pool.free, self._bind)
        needed = len(self.pool.ports) * len(self._hosts)
        yield from check_descriptors(needed, "one per port and address")
        yield from self._check_buffers()

    def _bind(self, port: int) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        try:
            for host in self._hosts:
                bound = bind_udp(host, port)
                sockets.append(bound)
                self._set_buffers(bound)
                self._drop_garbage(bound)
                if self._config.dscp:
                    mark(bound, self._config.dscp)
        except BaseException:
            for bound in sockets:
                bound.close()
            raise
        return sockets

    def _set_buffers(self, bound: socket.socket) -> None:
        for name, option, wanted in self._buffers():
            granted = set_buffer(bound, option, wanted)
            if granted < wanted and not self._short_buffer_logged:
                self._short_buffer_logged = True
                self._services.warn("transport_udp.short_buffer", key=name, wanted=wanted, granted=granted)

    def _drop_garbage(self, bound: socket.socket) -> None:
        if not drop_garbage(bound) and not self._no_filter_logged:
            self._no_filter_logged = True
            self._services.warn("transport_udp.no_filter")

    def _buffers(self) -> tuple[tuple[str, int, int], ...]:
        return (
            ("receive_buffer", socket.SO_RCVBUF, self._config.receive_bytes),
            ("send_buffer", socket.SO_SNDBUF, self._config.send_buffer),
        )

    def _check_buffers(self) -> Iterator[Finding]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            for name, option, wanted in self._buffers():
                granted = set_buffer(probe, option, wanted)
                limit = "rmem_max" if option == socket.SO_RCVBUF else "wmem_max"
                hint = "" if granted >= wanted else f"; raise the sysctl net.core.{limit} to {wanted}"
                yield Finding(granted >= wanted, name, f"wanted {wanted}, granted {granted}{hint}")
