"""For the tests of plugins: a worker's services without a worker, and what every transport must do.

A transport's own test-suite runs the kit by deriving from it::

    from sft.plugin.testing import FakeServices, TransportConformance

    class TestPigeon(TransportConformance):
        def make_factory(self, services: FakeServices, transports: int) -> PigeonFactory:
            return PigeonFactory(PigeonConfig(pigeons=transports), services)

Nothing here needs trio; sockets are real and on this machine.
"""

from __future__ import annotations

from sft.plugin.testing.clients import Client, TcpClient, UdpClient
from sft.plugin.testing.conformance import TransportConformance
from sft.plugin.testing.services import PATIENCE, FakeServices, Received

__all__ = [
    "PATIENCE",
    "Client",
    "FakeServices",
    "Received",
    "TcpClient",
    "TransportConformance",
    "UdpClient",
]
