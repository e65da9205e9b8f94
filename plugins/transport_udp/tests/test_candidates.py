"""What clients are told to connect to."""

from __future__ import annotations

from collections.abc import Callable

from sft.plugin import BindAddress
from sft.plugin.testing import FakeServices, Received, UdpClient
from sft_transport_udp.config import UdpConfig
from sft_transport_udp.factory import UdpFactory

MakeFactory = Callable[..., UdpFactory]


def test_behind_a_nat_the_advertised_address_is_offered_and_the_other_one_bound(
    make_factory: MakeFactory, services: FakeServices
) -> None:
    factory = make_factory(1, addresses=(BindAddress("127.0.0.1", "203.0.113.5"), BindAddress("127.0.0.1")))
    received = Received()
    transport = factory.open(received)
    assert [one.host for one in transport.candidates] == ["203.0.113.5", "127.0.0.1"]
    assert len(services.watched) == 1, "one socket serves both"
    client = UdpClient(transport.candidates[1])
    client.send(b"\x80through the NAT")
    services.poll_until(lambda: received.payloads, "the datagram came")
    client.close()


def test_the_wildcard_address_can_be_bound_when_another_is_advertised(
    make_factory: MakeFactory, services: FakeServices
) -> None:
    factory = make_factory(1, addresses=(BindAddress("0.0.0.0", "127.0.0.1"), BindAddress("::", "::1")))
    received = Received()
    for candidate in factory.open(received).candidates:
        client = UdpClient(candidate)
        client.send(b"\x80" + candidate.host.encode())
        client.close()
    services.poll_until(lambda: sorted(received.payloads) == [b"\x80127.0.0.1", b"\x80::1"], "both came")


def test_priorities_follow_rfc_8445_and_the_order_of_the_config(make_factory: MakeFactory) -> None:
    first, second = make_factory(1).open(Received()).candidates
    assert first.priority == 126 * 2**24 + 65535 * 2**8 + 255
    assert second.priority == 126 * 2**24 + 65534 * 2**8 + 255
    assert {first.kind, second.kind} == {"host"}
    assert first.foundation != second.foundation


def test_without_configuration_the_addresses_of_the_default_routes_are_used(
    monkeypatch: object, services: FakeServices
) -> None:
    addresses = UdpConfig().resolved()
    assert addresses
    assert all(address.bind == address.advertised for address in addresses)
    factory = UdpFactory(UdpConfig(), services)
    assert all(finding.ok for finding in factory.check() if finding.subject == "address")
