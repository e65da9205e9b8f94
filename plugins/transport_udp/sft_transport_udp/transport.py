"""One participant's port: a socket per address, all with the same port number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sft.model import Candidate
from sft_transport_udp.base import UdpBase


class UdpTransport:
    """Implements :class:`sft.plugin.ActiveTransport`."""

    __slots__ = ("_bases", "_on_close", "candidates", "ends", "port")

    def __init__(
        self,
        port: int,
        candidates: Sequence[Candidate],
        ends: Sequence[tuple[UdpBase, Candidate]],
        on_close: Callable[[UdpTransport], None],
    ) -> None:
        self.port = port
        self.candidates = candidates
        self.ends = ends
        self._on_close = on_close
        self._bases = [base for base, _ in ends]

    def kernel_drops(self) -> int:
        return sum(base.kernel_drops() for base in self._bases)

    def close(self) -> None:
        if not self._bases:
            return
        self._on_close(self)
        for base in self._bases:
            base.close()
        self._bases, self.ends = [], []
