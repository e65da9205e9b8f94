"""The public conformance kit, on IPv4 and IPv6."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sft.plugin.testing import FakeServices, TransportConformance
from sft_transport_udp.factory import UdpFactory


class TestUdp(TransportConformance):
    @pytest.fixture(autouse=True)
    def _factories(self, make_factory: Callable[..., UdpFactory]) -> None:
        self._make = make_factory

    def make_factory(self, services: FakeServices, transports: int) -> UdpFactory:
        return self._make(transports, services)
