"""One bound socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from sft.model import Address, Drop, Drops
from sft.plugin import Receive, Services
from sft_transport_udp.sockets import kernel_drops
from sft_transport_udp.strangers import Strangers

MAX_DATAGRAM = 2048
"""What passes: more than any peer sends that respects the path MTU."""

DRAIN = 16
"""Datagrams read of one socket per call; the epoll is level-triggered and comes back for the rest."""

BUSY_SECONDS = 0.001
"""A socket that was read within this time has a queue, so it is drained. From others one datagram is read:
that there is no second one costs as much to find out as half a packet."""

MAX_ADDRESSES = 16
"""Addresses remembered per participant and port; the oldest makes room. A browser has one per interface and
NAT binding, and a forgotten one is proven again by its next check."""


class UdpBase:
    """Implements :class:`sft.plugin.SegmentsBase`. ``receive`` takes what comes, but of strangers only so
    much."""

    __slots__ = (
        "_busy_until",
        "_drops",
        "_receive",
        "_recvfrom",
        "_services",
        "_socket",
        "_strangers",
        "closed",
        "fd",
        "proven",
        "segments",
        "send",
    )

    def __init__(
        self,
        bound: socket.socket,
        receive: Receive,
        drops: Drops,
        proven: dict[Address, Any] | None = None,
        *,
        segments: bool = False,
    ) -> None:
        """``proven``: where that is known; None: what ``receive`` says (:class:`sft.plugin.Receive`).
        ``segments``: as in :class:`sft.plugin.SegmentsBase`."""
        self.fd: int = bound.fileno()
        self.send: Callable[[bytes, Address], object] = bound.sendto
        self.segments = segments
        self.closed = False
        self._socket = bound
        self._recvfrom = bound.recvfrom
        self._receive = receive
        self._drops = drops
        self._services: Services | None = None  # once it is watched
        self._busy_until = 0.0
        self.proven = {} if proven is None else proven
        self._strangers = Strangers(drops)

    def on_readable(self, now: float) -> None:
        """Hand up what waits, at most ``DRAIN`` datagrams."""
        recvfrom = self._recvfrom
        count = DRAIN if now < self._busy_until else 1
        self._busy_until = now + BUSY_SECONDS
        for _ in range(count):
            try:
                # 2.3 us; recvfrom_into a reused buffer and copying out of it takes 2.6 us
                data, address = recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error that something sent earlier caused: the rest still waits
                continue
            self.take(data, address, now)
            if self.closed:  # by what it just received
                return

    def take(self, data: bytes, address: Address, now: float) -> None:
        """Hand up one datagram."""
        proven = self.proven
        if len(data) > MAX_DATAGRAM:
            self._drops.count(Drop.TOO_LARGE)
        elif address not in proven and not self._strangers.admit(address, now):
            return
        elif self._receive(self, data, address, now) and address not in proven:
            self._remember(address)

    def watch(
        self,
        services: Services,
        receive: Receive | None = None,
        whose: Callable[[Any], Receive] | None = None,
    ) -> None:
        """Have it read when it is readable; by the engine if that is a :class:`sft.plugin.ReadingEngine`.

        Of a shared port: the ``receive`` of any peer, and what tells whose an address is by its value in
        ``proven``."""
        make_reader = getattr(receive or self._receive, "reader", None)
        services.watch(self.fd, self.on_readable if make_reader is None else make_reader(self, whose))
        self._services = services

    def _remember(self, address: Address) -> None:
        self.proven[address] = None
        if len(self.proven) > MAX_ADDRESSES:
            del self.proven[next(iter(self.proven))]

    def kernel_drops(self) -> int:
        return kernel_drops(self._socket)

    def close(self) -> None:
        self.closed = True
        if self._services is not None:
            self._services.unwatch(self.fd)
            self._services = None
        self._socket.close()
