"""What ``sft-serve check`` says about the ports of a transport."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from sft.plugin.interfaces import Finding
from sft.plugin.ports import BindAddress

DESCRIPTORS_BESIDES = 256
"""File descriptors of a worker that are not a transport's."""


class Closable(Protocol):
    def close(self) -> None: ...


def check_addresses(
    addresses: Sequence[BindAddress], bind: Callable[[str, int], Closable]
) -> Iterator[Finding]:
    """Whether this machine has them. ``bind(host, port)`` makes a socket."""
    for address in addresses:
        try:
            bind(address.bind, 0).close()
        except OSError as error:
            yield Finding(False, "address", f"{address}: {error.strerror}")
        else:
            yield Finding(True, "address", str(address))


def check_ports(
    ports: range, free: Sequence[int], bind: Callable[[int], Sequence[Closable]]
) -> Iterator[Finding]:
    """Every free one of ``ports`` is tried: ``bind(port)`` makes sockets on all addresses."""
    taken = []
    for port in free:
        try:
            for bound in bind(port):
                bound.close()
        except OSError:
            taken.append(port)
    span = f"{ports[0]}-{ports[-1]}" if ports else "empty"
    if not taken:
        yield Finding(bool(ports), "port range", f"{span}: all free")
    else:
        yield Finding(False, "port range", f"{span}: {len(taken)} cannot be bound, the first is {taken[0]}")


def check_descriptors(needed: int, what: str) -> Iterator[Finding]:
    """Whether the process may open ``needed`` of them besides its others."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed += DESCRIPTORS_BESIDES
    enough = limit == resource.RLIM_INFINITY or limit >= needed
    yield Finding(enough, "file descriptors", f"limit {limit}; {what} needs {needed}")
