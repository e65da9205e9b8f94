"""The table ``[plugins.transport_udp]``."""

from __future__ import annotations

from typing import Literal, TypeAlias

import attrs
from attrs.validators import and_, ge, le

from sft.plugin import PortsConfig

PORT_BUFFER, SHARED_BUFFER = 208 * 1024, 4 * 1024 * 1024
"""What ``"auto"`` asks for: the system's usual default, and 0.3 s of what a call of 50 sends to one port."""


Size: TypeAlias = int | Literal["auto"]


def _is_size(_: object, attribute: attrs.Attribute[Size], value: Size) -> None:
    if value != "auto" and value < 0:
        raise ValueError(f"{attribute.name!r} must be >= 0: {value}")


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
    receive_buffer: bytes the kernel may hold per socket until they are read; `"auto"`: 212992, with `shared`
        4194304; 0: the system's default
    send_buffer: bytes the kernel may hold per socket until they are sent; 0: the system's default
    segments: an engine that sends by itself (sft-engine-native) may send packets of one size to one address
        by one system call (`UDP_SEGMENT`, Linux 4.18)
    dscp: code point that outgoing packets are marked with (RFC 8837), such as 34 (AF41); 0: none
    """

    receive_buffer: Size = attrs.field(default="auto", validator=_is_size)
    send_buffer: int = attrs.field(default=212992, validator=ge(0))
    segments: bool = True
    dscp: int = attrs.field(default=0, validator=and_(ge(0), le(63)))

    @property
    def receive_bytes(self) -> int:
        """What to ask the kernel for; 0: nothing."""
        if self.receive_buffer != "auto":
            return self.receive_buffer
        return SHARED_BUFFER if self.shared else PORT_BUFFER
