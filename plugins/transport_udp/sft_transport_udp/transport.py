"""One participant's port: a socket per address, all with the same port number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sft.model import Candidate
from sft.plugin import Services
from sft_transport_udp.base import UdpBase


class UdpTransport:
    """Implements :class:`sft.plugin.ActiveTransport`."""

    __slots__ = ("_bases", "_on_close", "_services", "candidates", "ends", "port")

    def __init__(
        self,
        port: int,
        candidates: Sequence[Candidate],
        ends: Sequence[tuple[UdpBase, Candidate]],
        services: Services,
        on_close: Callable[[UdpTransport], None],
    ) -> None:
        self.port = port
        self.candidates = candidates
        self.ends = ends
        self._services = services
        self._on_close = on_close
        self._bases = [base for base, _ in ends]
        for base in self._bases:
            base.watch(services)

    def kernel_drops(self) -> int:
        return sum(base.kernel_drops() for base in self._bases)

    def close(self) -> None:
        if not self._bases:
            return
        self._on_close(self)
        for base in self._bases:
            self._services.unwatch(base.fd)
            base.close()
        self._bases, self.ends = [], []
