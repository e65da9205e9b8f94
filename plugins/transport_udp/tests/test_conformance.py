"""The public conformance kit, in both modes, on IPv4 and IPv6."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from sft.plugin import Receive
from sft.plugin.testing import FakeServices, TransportConformance
from sft_transport_udp.factory import UdpFactory
from sft_transport_udp.shared import SharedUdpFactory


class TestUdp(TransportConformance):
    @pytest.fixture(autouse=True)
    def _factories(self, make_factory: Callable[..., UdpFactory]) -> None:
        self._make = make_factory

    def make_factory(self, services: FakeServices, transports: int) -> UdpFactory:
        return self._make(transports, services)


class TestSharedUdp(TransportConformance):
    @pytest.fixture(autouse=True)
    def _factories(self, make_factory: Callable[..., SharedUdpFactory]) -> None:
        self._make = make_factory

    def make_factory(self, services: FakeServices, transports: int) -> SharedUdpFactory:
        return self._make(1, services, shared=True, capacity=transports)

    def first_datagram(self, services: FakeServices, receive: Receive) -> bytes:
        first = b"\0\1\0\0\x21\x12\xa4\x42" + os.urandom(12)
        services.routes[first] = receive
        return first
