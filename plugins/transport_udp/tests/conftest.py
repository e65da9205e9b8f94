from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from sft.plugin.testing import FakeServices
from sft_transport_udp.config import UdpConfig
from sft_transport_udp.factory import UdpFactory
from sft_transport_udp.shared import SharedUdpFactory
from support.factories import find_ports, making_factories


@pytest.fixture
def free_ports() -> Callable[[int], range]:
    return partial(find_ports, socket.SOCK_DGRAM)


@pytest.fixture
def services() -> Iterator[FakeServices]:
    services = FakeServices()
    yield services
    services.close()


def factory_of(table: UdpConfig, services: FakeServices) -> UdpFactory | SharedUdpFactory:
    return SharedUdpFactory(table, services) if table.shared else UdpFactory(table, services)


@pytest.fixture
def make_factory(services: FakeServices) -> Iterator[Callable[..., UdpFactory | SharedUdpFactory]]:
    with making_factories(socket.SOCK_DGRAM, UdpConfig, factory_of, services) as make:
        yield make
