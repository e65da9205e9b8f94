from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from sft.plugin.testing import FakeServices
from sft_transport_tcp.config import TcpConfig
from sft_transport_tcp.factory import TcpFactory
from sft_transport_tcp.shared import SharedTcpFactory
from support.factories import find_ports, making_factories


@pytest.fixture
def free_ports() -> Callable[[int], range]:
    return partial(find_ports, socket.SOCK_STREAM)


@pytest.fixture
def services() -> Iterator[FakeServices]:
    services = FakeServices()
    yield services
    services.close()


def factory_of(table: TcpConfig, services: FakeServices) -> TcpFactory | SharedTcpFactory:
    return SharedTcpFactory(table, services) if table.shared else TcpFactory(table, services)


@pytest.fixture
def make_factory(services: FakeServices) -> Iterator[Callable[..., TcpFactory | SharedTcpFactory]]:
    with making_factories(socket.SOCK_STREAM, TcpConfig, factory_of, services) as make:
        yield make
