"""One participant's port: a socket per address, all with the same port number."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Callable, Sequence

from sft.model import Address, Candidate, Drop, Drops
from sft.plugin import Receive, Services
from sft_transport_udp.config import UdpAddress
from sft_transport_udp.sockets import kernel_drops

MAX_DATAGRAM = 2048
"""What passes: more than any peer sends that respects the path MTU."""

DRAIN = 16
"""Datagrams read of one socket per wake-up; the epoll is level-triggered and comes back for the rest."""

_HOST_PREFERENCE = 126  # RFC 8445 section 5.1.2.2


class UdpBase:
    """One bound socket."""

    __slots__ = ("_drops", "_receive", "_recvfrom", "_socket", "closed", "fd", "send")

    def __init__(self, bound: socket.socket, receive: Receive, drops: Drops) -> None:
        self.fd: int = bound.fileno()
        self.send: Callable[[bytes, Address], object] = bound.sendto
        self.closed = False
        self._socket = bound
        self._recvfrom = bound.recvfrom
        self._receive = receive
        self._drops = drops

    def on_readable(self, now: float) -> None:
        """Hand up what waits, at most ``DRAIN`` datagrams."""
        recvfrom, receive = self._recvfrom, self._receive
        for _ in range(DRAIN):
            try:
                # 2.3 us; recvfrom_into a reused buffer and copying out of it takes 2.6 us
                data, address = recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error that something sent earlier caused: the rest still waits
                continue
            if len(data) > MAX_DATAGRAM:
                self._drops.count(Drop.TOO_LARGE)
                continue
            receive(self, data, address, now)
            if self.closed:  # by what it just received
                return

    def kernel_drops(self) -> int:
        return kernel_drops(self._socket)

    def close(self) -> None:
        self.closed = True
        self._socket.close()


class UdpTransport:
    """Implements :class:`sft.plugin.ActiveTransport`."""

    __slots__ = ("_bases", "_on_close", "_services", "candidates", "ends", "port")

    def __init__(
        self,
        port: int,
        sockets: Sequence[socket.socket],
        addresses: Sequence[UdpAddress],
        receive: Receive,
        services: Services,
        on_close: Callable[[UdpTransport], None],
    ) -> None:
        self.port = port
        self.candidates = [_candidate(address.advertised, port, at) for at, address in enumerate(addresses)]
        self._services = services
        self._on_close = on_close
        self._bases = [UdpBase(bound, receive, services.drops) for bound in sockets]
        for base in self._bases:
            services.watch(base.fd, base.on_readable)
        binds = [address.bind for address in addresses]
        self.ends = [
            (base, self.candidates[binds.index(bind)])
            for base, bind in zip(self._bases, dict.fromkeys(binds), strict=True)
        ]

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


def _candidate(host: str, port: int, rank: int) -> Candidate:
    """Priority as in RFC 8445 section 5.1.2.1; the same foundation for the same address in every call."""
    return Candidate(
        foundation=str(zlib.crc32(f"host udp {host}".encode())),
        protocol="udp",
        priority=_HOST_PREFERENCE << 24 | (65535 - rank) << 8 | 256 - 1,
        host=host,
        port=port,
    )
