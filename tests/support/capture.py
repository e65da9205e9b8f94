"""What a host of a lab receives, packet by packet.

::

    with captured(home) as capture:
        ...
        assert capture.marks("203.0.113.2") == {34}
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from support.lab import UPLINK, Host

_ALL = 3  # ETH_P_ALL of linux/if_ether.h
_OUTGOING = 4  # PACKET_OUTGOING of linux/if_packet.h
_BUFFER = 4 << 20
_PACKET = 2048


class Capture:
    """The kernel keeps the packets until somebody asks."""

    def __init__(self, tap: socket.socket) -> None:
        self._tap = tap
        self._packets: list[bytes] = []

    def packets(self) -> list[bytes]:
        """The IP packets that have come so far."""
        while True:
            try:
                packet, (_, _, direction, *_) = self._tap.recvfrom(_PACKET)
            except BlockingIOError:
                return self._packets
            if direction != _OUTGOING:
                self._packets.append(packet)

    def marks(self, source: str) -> set[int]:
        """The code points (RFC 2474) of the UDP datagrams from there."""
        return {
            dscp for dscp, host, protocol in map(_read, self.packets()) if (host, protocol) == (source, 17)
        }


def _read(packet: bytes) -> tuple[int, str, int]:
    """(code point, source, protocol); extension headers, which nobody sends here, are not skipped."""
    match packet[0] >> 4:
        case 4:
            return packet[1] >> 2, socket.inet_ntop(socket.AF_INET, packet[12:16]), packet[9]
        case 6:
            traffic_class = (packet[0] & 15) << 4 | packet[1] >> 4
            return traffic_class >> 2, socket.inet_ntop(socket.AF_INET6, packet[8:24]), packet[6]
    return 0, "", 0


@contextmanager
def captured(host: Host, interface: str = UPLINK) -> Iterator[Capture]:
    with host.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
    with tap:
        tap.setblocking(False)
        tap.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        tap.bind((interface, _ALL))
        yield Capture(tap)
