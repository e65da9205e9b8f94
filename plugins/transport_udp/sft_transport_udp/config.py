"""The table ``[plugins.transport_udp]``."""

from __future__ import annotations

import attrs
from attrs.validators import and_, ge, le

from sft.plugin import PortsConfig


@attrs.frozen
class UdpConfig(PortsConfig):
    """The UDP transport.

    ports: range of UDP ports, one port per participant; workers share it evenly
    shared: `true`: one port per worker for all its participants instead, the first of `ports` for the
        first worker, the next for the second
    capacity: with `shared`, how many participants a port takes
    addresses: `"auto"` (the addresses from which this machine reaches others), or a list of
        `{ bind = "10.0.0.5", advertise = "203.0.113.5" }`, best first; `advertise` if clients
        reach it under another address (1:1 NAT)
    receive_buffer: bytes the kernel may hold per socket until they are read; 0: the system's default
    send_buffer: bytes the kernel may hold per socket until they are sent; 0: the system's default
    segments: `true`: send at the end of the loop's turn, 4 ms later at most, and packets of one size to one
        address by one system call (`UDP_SEGMENT`, Linux 4.18): less CPU, the more packets the less
    dscp: code point that outgoing packets are marked with (RFC 8837), such as 34 (AF41); 0: none
    """

    receive_buffer: int = attrs.field(default=212992, validator=ge(0))
    send_buffer: int = attrs.field(default=212992, validator=ge(0))
    segments: bool = False
    dscp: int = attrs.field(default=0, validator=and_(ge(0), le(63)))
