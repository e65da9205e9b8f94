"""One bound socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from sft.model import Address, Drop, Drops
from sft.plugin import Receive
from sft_transport_udp.outbox import Outbox, Turn
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
    """Implements :class:`sft.plugin.Base`. ``receive`` takes what comes, but of strangers only so much."""

    __slots__ = (
        "_busy_until",
        "_drops",
        "_outbox",
        "_proven",
        "_receive",
        "_recvfrom",
        "_socket",
        "_strangers",
        "closed",
        "fd",
        "send",
    )

    def __init__(
        self,
        bound: socket.socket,
        receive: Receive,
        drops: Drops,
        proven: dict[Address, Any] | None = None,
        turn: Turn | None = None,
    ) -> None:
        """``proven``: where that is known; None: what ``receive`` says (:class:`sft.plugin.Receive`).
        ``turn``: it is sent at its end; None: at once."""
        self.fd: int = bound.fileno()
        self._outbox = None if turn is None else Outbox(bound, drops, turn.add)
        self.send: Callable[[bytes, Address], object] = (
            bound.sendto if self._outbox is None else self._outbox.send
        )
        self.closed = False
        self._socket = bound
        self._recvfrom = bound.recvfrom
        self._receive = receive
        self._drops = drops
        self._busy_until = 0.0
        self._proven = {} if proven is None else proven
        self._strangers = Strangers(drops)

    def on_readable(self, now: float) -> None:
        """Hand up what waits, at most ``DRAIN`` datagrams."""
        recvfrom, receive, proven = self._recvfrom, self._receive, self._proven
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
            if address not in proven and not self._strangers.admit(address, now):
                continue
            if receive(self, data, address, now) and address not in proven:
                self._remember(address)
            if self.closed:  # by what it just received
                return

    def _remember(self, address: Address) -> None:
        self._proven[address] = None
        if len(self._proven) > MAX_ADDRESSES:
            del self._proven[next(iter(self._proven))]

    def kernel_drops(self) -> int:
        return kernel_drops(self._socket)

    def close(self) -> None:
        self.closed = True
        if self._outbox is not None:
            self._outbox.flush()
        self._socket.close()
