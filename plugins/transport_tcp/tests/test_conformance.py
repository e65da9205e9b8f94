"""The public conformance kit, in both modes, on IPv4 and IPv6."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from sft.plugin import Receive
from sft.plugin.testing import FakeServices, TransportConformance
from sft_transport_tcp.factory import TcpFactory
from sft_transport_tcp.shared import SharedTcpFactory


class TestTcp(TransportConformance):
    @pytest.fixture(autouse=True)
    def _factories(self, make_factory: Callable[..., TcpFactory]) -> None:
        self._make = make_factory

    def make_factory(self, services: FakeServices, transports: int) -> TcpFactory:
        return self._make(transports, services, shared=False)


class TestSharedTcp(TransportConformance):
    @pytest.fixture(autouse=True)
    def _factories(self, make_factory: Callable[..., SharedTcpFactory]) -> None:
        self._make = make_factory

    def make_factory(self, services: FakeServices, transports: int) -> SharedTcpFactory:
        return self._make(1, services, capacity=transports)

    def first_datagram(self, services: FakeServices, receive: Receive) -> bytes:
        first = b"\0\1" + os.urandom(18)
        services.routes[first] = receive
        return first
