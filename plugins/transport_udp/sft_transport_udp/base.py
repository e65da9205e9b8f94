"""One bound socket."""

from __future__ import annotations

import socket
from collections.abc import Callable

from sft.model import Address, Drop, Drops
from sft.plugin import Receive
from sft_transport_udp.sockets import kernel_drops

MAX_DATAGRAM = 2048
"""What passes: more than any peer sends that respects the path MTU."""

DRAIN = 16
"""Datagrams read of one socket per call; the epoll is level-triggered and comes back for the rest."""

BUSY_SECONDS = 0.001
"""A socket that was read within this time has a queue, so it is drained. From others one datagram is read:
that there is no second one costs as much to find out as half a packet."""


class UdpBase:
    """Implements :class:`sft.plugin.Base`; ``receive`` takes what comes."""

    __slots__ = ("_busy_until", "_drops", "_receive", "_recvfrom", "_socket", "closed", "fd", "send")

    def __init__(self, bound: socket.socket, receive: Receive, drops: Drops) -> None:
        self.fd: int = bound.fileno()
        self.send: Callable[[bytes, Address], object] = bound.sendto
        self.closed = False
        self._socket = bound
        self._recvfrom = bound.recvfrom
        self._receive = receive
        self._drops = drops
        self._busy_until = 0.0

    def on_readable(self, now: float) -> None:
        """Hand up what waits, at most ``DRAIN`` datagrams."""
        recvfrom, receive = self._recvfrom, self._receive
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
