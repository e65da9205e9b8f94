"""Factories of transports on free ports of loopback, for the tests of the plugins that have ports."""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, TypeVar

from sft.plugin import BindAddress, PortsConfig, TransportFactory
from sft.plugin.testing import FakeServices

Config = TypeVar("Config", bound=PortsConfig)

LOOPBACK = (BindAddress("127.0.0.1"), BindAddress("::1"))


@contextmanager
def making_factories(
    kind: socket.SocketKind,
    table: type[Config],
    make: Callable[[Config, FakeServices], TransportFactory],
    services: FakeServices,
) -> Iterator[Callable[..., Any]]:
    """Gives ``make_factory``: factories by number of ports, or on these, closed at the end of the block;
    keywords go to the plugin's table. ``make``: one of a table."""
    with ExitStack() as stack:

        def make_factory(
            ports: int | range = 1, services: FakeServices = services, **keys: object
        ) -> TransportFactory:
            span = find_ports(kind, ports) if isinstance(ports, int) else ports
            config = table(ports=f"{span[0]}-{span[-1]}", **{"addresses": LOOPBACK, **keys})
            return stack.enter_context(closing(make(config, services)))

        yield make_factory


def watching_only(count: int, services: FakeServices) -> Callable[..., None]:
    """A ``watch`` for ``services`` that the kernel refuses from the given one on (epoll_ctl(2), ENOSPC)."""
    watch = services.watch
    left = count

    def watch_or_fail(*arguments: Any) -> None:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, "No space left on device")
        left -= 1
        watch(*arguments)

    return watch_or_fail


def find_ports(kind: socket.SocketKind, count: int) -> range:
    """A run of ports that are free on loopback, below the kernel's ephemeral range."""
    while True:
        first = random.randrange(20000, 32000 - count)
        ports = range(first, first + count)
        if all(_is_free(kind, port) for port in ports):
            return ports


def _is_free(kind: socket.SocketKind, port: int) -> bool:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, kind) as probe:
            try:
                probe.bind((host, port))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:  # no IPv6 here: no port of it is taken
                    return False
    return True
