from __future__ import annotations

import random
import socket
from collections.abc import Callable, Iterator

import pytest

from sft.plugin import BindAddress
from sft.plugin.testing import FakeServices
from sft_transport_tcp.config import TcpConfig
from sft_transport_tcp.factory import TcpFactory
from sft_transport_tcp.shared import SharedTcpFactory

LOOPBACK = (BindAddress("127.0.0.1"), BindAddress("::1"))


def is_free(port: int) -> bool:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True


def find_ports(count: int) -> range:
    """A run of ports that are free on loopback, below the kernel's ephemeral range."""
    while True:
        first = random.randrange(20000, 32000 - count)
        ports = range(first, first + count)
        if all(map(is_free, ports)):
            return ports


@pytest.fixture
def free_ports() -> Callable[[int], range]:
    return find_ports


@pytest.fixture
def services() -> Iterator[FakeServices]:
    services = FakeServices()
    yield services
    services.close()


@pytest.fixture
def make_factory(services: FakeServices) -> Iterator[Callable[..., TcpFactory | SharedTcpFactory]]:
    """Factories on loopback by number of ports, closed at the end; keywords go to ``TcpConfig``."""
    factories: list[TcpFactory | SharedTcpFactory] = []

    def make(
        ports: int | range = 1, services: FakeServices = services, **table: object
    ) -> TcpFactory | SharedTcpFactory:
        span = find_ports(ports) if isinstance(ports, int) else ports
        config = TcpConfig(ports=f"{span[0]}-{span[-1]}", **{"addresses": LOOPBACK, **table})
        kind = SharedTcpFactory if config.shared else TcpFactory
        factories.append(kind(config, services))
        return factories[-1]

    yield make
    for factory in factories:
        factory.close()
