"""The table ``[plugins.transport_udp]``."""

from __future__ import annotations

import ipaddress
from typing import Literal

import attrs
from attrs.validators import ge

from sft.plugin import default_addresses


def parse_ports(text: str) -> range:
    """range(40000, 41000) of "40000-40999", range(5000, 5001) of "5000"; ``ValueError`` otherwise."""
    first, _, last = text.partition("-")
    low, high = int(first), int(last or first)
    if not 0 < low <= high <= 65535:
        raise ValueError("not a range of ports")
    return range(low, high + 1)


def _is_port_range(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    try:
        parse_ports(value)
    except ValueError as error:
        raise ValueError(
            f"{attribute.name!r} must be a range of ports such as '40000-40999', not {value!r}"
        ) from error


def _is_address(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    try:
        usable = not value or "%" not in str(ipaddress.ip_address(value))
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{attribute.name!r} must be an IP address without a zone, not {value!r}")


@attrs.frozen
class UdpAddress:
    """One of ``addresses``.

    bind: an address of this machine
    advertise: the address clients are told, if it is another one (1:1 NAT)
    """

    bind: str = attrs.field(validator=_is_address)
    advertise: str = attrs.field(default="", validator=_is_address)

    def __attrs_post_init__(self) -> None:
        bind, advertise = ipaddress.ip_address(self.bind), ipaddress.ip_address(self.advertised)
        if bind.version != advertise.version:
            raise ValueError("'bind' and 'advertise' must both be IPv4 or both be IPv6")
        if advertise.is_unspecified:
            raise ValueError(f"'advertise' must be given with bind = {self.bind!r}")

    @property
    def advertised(self) -> str:
        return self.advertise or self.bind


@attrs.frozen
class UdpConfig:
    """The UDP transport.

    ports: range of UDP ports, one port per participant; workers share it evenly
    addresses: `"auto"` (the addresses from which this machine reaches others), or a list of
        `{ bind = "10.0.0.5", advertise = "203.0.113.5" }`, best first; `advertise` if clients
        reach it under another address (1:1 NAT)
    receive_buffer: bytes the kernel may hold per socket until they are read; 0: the system's default
    send_buffer: bytes the kernel may hold per socket until they are sent; 0: the system's default
    """

    ports: str = attrs.field(default="40000-40999", validator=_is_port_range)
    addresses: Literal["auto"] | tuple[UdpAddress, ...] = "auto"
    receive_buffer: int = attrs.field(default=212992, validator=ge(0))
    send_buffer: int = attrs.field(default=212992, validator=ge(0))

    def __attrs_post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("'addresses' must not be empty")
        if len(set(self.addresses)) != len(self.addresses) and self.addresses != "auto":
            raise ValueError("'addresses' must not name one twice")

    def resolved(self) -> tuple[UdpAddress, ...]:
        """The addresses to use, best first."""
        if isinstance(self.addresses, str):
            return tuple(UdpAddress(address) for address in default_addresses())
        return self.addresses

    def slice_of(self, worker: int, workers: int) -> range:
        """The ports of one worker; the slices of all workers make up the range."""
        ports = parse_ports(self.ports)
        return ports[len(ports) * worker // workers : len(ports) * (worker + 1) // workers]
