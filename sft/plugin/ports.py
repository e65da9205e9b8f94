"""What transports on ports have in common: their part of the configuration, and handing ports out.

The keys are the same for every transport, so that an operator learns them once. The class that derives
from :class:`PortsConfig` says in its docstring what each of them means to it.
"""

from __future__ import annotations

import errno
import ipaddress
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import attrs
from attrs.validators import ge

from sft.errors import PortsExhausted, TransportError
from sft.model import Candidate
from sft.plugin.addresses import default_addresses

T = TypeVar("T")


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
class BindAddress:
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

    def __str__(self) -> str:
        return f"{self.bind}, advertised as {self.advertise}" if self.advertise else self.bind


@attrs.frozen
class PortsConfig:
    """The keys that a transport's table begins with.

    ports: range of ports; workers share it evenly
    shared: whether all participants of a worker share one port
    capacity: how many participants may share a port
    addresses: what to bind, best first
    """

    ports: str = attrs.field(default="40000-40999", validator=_is_port_range)
    shared: bool = False
    capacity: int = attrs.field(default=2000, validator=ge(1))
    addresses: Literal["auto"] | tuple[BindAddress, ...] = "auto"

    def __attrs_post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("'addresses' must not be empty")
        if len(set(self.addresses)) != len(self.addresses) and self.addresses != "auto":
            raise ValueError("'addresses' must not name one twice")

    def resolved(self) -> tuple[BindAddress, ...]:
        """The addresses to use, best first."""
        if isinstance(self.addresses, str):
            return tuple(BindAddress(address) for address in default_addresses())
        return self.addresses

    def slice_of(self, worker: int, workers: int) -> range:
        """The ports of one worker, disjoint from those of all others: shared ones are the first, the
        second and so on of the range, others an even part of it."""
        ports = parse_ports(self.ports)
        if self.shared:
            return ports[worker : worker + 1]
        return ports[len(ports) * worker // workers : len(ports) * (worker + 1) // workers]


class PortPool:
    """The free ones of a worker's ports. Taken at the left, given back at the right: a long rest for each."""

    def __init__(self, ports: range, kind: str, hosts: Sequence[str]) -> None:
        """``kind`` (such as ``UDP``) and ``hosts`` are for messages."""
        self.ports = ports
        self.free = deque(ports)
        self._kind = kind
        self._hosts = ", ".join(hosts)

    def take(self, bind: Callable[[int], T]) -> tuple[int, T]:
        """A port and what ``bind(port)`` made of it.

        Ports that another program holds are passed over; they stay candidates for later.
        ``PortsExhausted``: there is none; ``TransportError``: ``bind`` failed for another reason.
        """
        for _ in range(len(self.free)):
            port = self.free.popleft()
            try:
                return port, bind(port)
            except OSError as error:
                self.free.append(port)
                if error.errno != errno.EADDRINUSE:
                    raise TransportError(
                        f"{self._kind} port {port} on {self._hosts}: {error.strerror}"
                    ) from error
        raise PortsExhausted(f"all of {len(self.ports)} {self._kind} ports are in use")

    def give_back(self, port: int) -> None:
        self.free.append(port)


def host_candidate(
    address: str,
    port: int,
    rank: int,
    *,
    protocol: str = "udp",
    preference: int = 126,
    tcptype: str | None = None,
) -> Candidate:
    """A host candidate of component 1: priority as in RFC 8445 section 5.1.2.1, ``preference`` being the type
    preference and ``rank`` the place among ``addresses``; the same foundation for the same address in every
    call."""
    return Candidate(
        foundation=str(zlib.crc32(f"host {protocol} {address}".encode())),
        protocol=protocol,
        priority=preference << 24 | (65535 - rank) << 8 | 256 - 1,
        host=address,
        port=port,
        tcptype=tcptype,
    )
