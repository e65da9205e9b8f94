"""One participant's port: a socket per address, all with the same port number."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from sft.model import Candidate
from sft.plugin import Receive, Services
from sft_transport_udp.base import UdpBase


class UdpTransport:
    """Implements :class:`sft.plugin.Transport`."""

    __slots__ = ("_bases", "_on_close", "_services", "candidates", "port")

    def __init__(
        self,
        port: int,
        sockets: Sequence[socket.socket],
        candidates: Sequence[Candidate],
        receive: Receive,
        services: Services,
        on_close: Callable[[UdpTransport], None],
    ) -> None:
        self.port = port
        self.candidates = candidates
        self._services = services
        self._on_close = on_close
        self._bases = [UdpBase(bound, receive, services.drops) for bound in sockets]
        for base in self._bases:
            services.watch(base.fd, base.on_readable)

    def kernel_drops(self) -> int:
        return sum(base.kernel_drops() for base in self._bases)

    def close(self) -> None:
        if not self._bases:
            return
        self._on_close(self)
        for base in self._bases:
            self._services.unwatch(base.fd)
            base.close()
        self._bases = []
