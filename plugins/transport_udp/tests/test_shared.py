"""One port for all: who gets what, and what claims are worth."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from sft.model import Drop
from sft.plugin import BindAddress, Receive
from sft.plugin.testing import FakeServices, Received, UdpClient
from sft_transport_udp.base import MAX_ADDRESSES
from sft_transport_udp.shared import SharedUdpFactory, SharedUdpTransport

MakeFactory = Callable[..., SharedUdpFactory]


class Port:
    """A shared port, and clients that are closed at the end."""

    def __init__(self, services: FakeServices, factory: SharedUdpFactory) -> None:
        self.services = services
        self.factory = factory
        self.clients: list[UdpClient] = []

    def open(self) -> tuple[SharedUdpTransport, Received, bytes]:
        """A peer's transport, what it receives, and a check that names it."""
        received = Received()
        transport = self.factory.open(received)
        return transport, received, self.name(received)

    def name(self, receive: Receive) -> bytes:
        check = b"\0\1\0\0\x21\x12\xa4\x42" + os.urandom(12)
        self.services.routes[check] = receive
        return check

    def client(self, *first: bytes) -> UdpClient:
        probe = Received()
        transport = self.factory.open(probe)
        client = UdpClient(transport.candidates[0])
        transport.close()
        self.clients.append(client)
        for data in first:
            client.send(data)
        return client

    def poll_until(self, happened: Callable[[], object]) -> None:
        self.services.poll_until(happened, "it came")

    @property
    def strangers(self) -> int:
        return self.services.drops.counts[Drop.NO_PEER]


@pytest.fixture
def port(services: FakeServices, make_factory: MakeFactory) -> Iterator[Port]:
    port = Port(services, make_factory(1, shared=True, addresses=(BindAddress("127.0.0.1"),)))
    yield port
    for client in port.clients:
        client.close()


def test_all_share_one_socket(port: Port) -> None:
    candidates = [port.open()[0].candidates for _ in range(5)]
    assert candidates == [candidates[0]] * 5
    assert len(port.services.watched) == 1


def test_what_comes_from_nobody_is_dropped_and_counted(port: Port) -> None:
    _, received, _ = port.open()
    client = port.client(b"\x80" * 20, b"\x16\xfe\xfd", b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12))
    port.poll_until(lambda: port.strangers == 3)
    assert received.payloads == []
    client.close()


def test_a_peer_that_changes_its_address_keeps_its_session(port: Port) -> None:
    transport, received, check = port.open()
    port.client(check, b"\x80old")
    port.poll_until(lambda: b"\x80old" in received.payloads)
    moved = port.client(b"\x80unproven", check, b"\x80new")
    port.poll_until(lambda: b"\x80new" in received.payloads)
    assert b"\x80unproven" not in received.payloads
    base, _, address = received.datagrams[-1]
    base.send(b"down", address)
    assert moved.receive() == b"down"
    assert len(transport.addresses) == 2


def test_a_claim_without_proof_is_heard_and_not_remembered(port: Port) -> None:
    """Heard, because the peer decides; each time, because nothing is kept of it."""
    transport, received, check = port.open()
    received.accepts = False
    port.client(*[check] * 50, b"\x80data")
    port.poll_until(lambda: port.strangers)
    assert received.payloads == [check] * 50
    assert not transport.addresses


def test_a_flood_of_claims_leaves_no_trace(port: Port) -> None:
    transport, received, check = port.open()
    received.accepts = False
    for _ in range(40):
        port.client(check)
    port.poll_until(lambda: len(received.payloads) == 40)
    assert not transport.addresses


def test_an_address_changes_hands_only_by_proof(port: Port) -> None:
    """A client behind a NAT may get the address that another one had."""
    one, of_one, check_one = port.open()
    two, of_two, check_two = port.open()
    client = port.client(check_one, b"\x80one")
    port.poll_until(lambda: b"\x80one" in of_one.payloads)
    of_two.accepts = False
    client.send(check_two)
    client.send(b"\x80still one")
    port.poll_until(lambda: b"\x80still one" in of_one.payloads)
    of_two.accepts = True
    client.send(check_two)
    client.send(b"\x80two")
    port.poll_until(lambda: b"\x80two" in of_two.payloads)
    assert (len(one.addresses), len(two.addresses)) == (0, 1)
    one.close()
    client.send(b"\x80two again")
    port.poll_until(lambda: b"\x80two again" in of_two.payloads)


def test_a_check_that_names_nobody_goes_to_whose_address_it_is(port: Port) -> None:
    """Answers to our own checks carry no user name."""
    _, received, check = port.open()
    answer = b"\1\1\0\0\x21\x12\xa4\x42" + bytes(12)
    port.client(check, answer)
    port.poll_until(lambda: answer in received.payloads)


def test_addresses_of_a_peer_are_bounded_and_the_newest_stay(port: Port) -> None:
    transport, received, check = port.open()
    clients = [port.client(check) for _ in range(MAX_ADDRESSES + 5)]
    port.poll_until(lambda: len(received.payloads) == len(clients))
    assert len(transport.addresses) == MAX_ADDRESSES
    clients[0].send(b"\x80forgotten")
    clients[-1].send(b"\x80newest")
    port.poll_until(lambda: b"\x80newest" in received.payloads and port.strangers)
    assert b"\x80forgotten" not in received.payloads
    clients[0].send(check)
    clients[0].send(b"\x80back")
    port.poll_until(lambda: b"\x80back" in received.payloads)


def test_a_peer_that_closes_leaves_no_address_behind(port: Port) -> None:
    transport, received, check = port.open()
    client = port.client(check)
    port.poll_until(lambda: received.payloads)
    transport.close()
    client.send(b"\x80late")
    port.poll_until(lambda: port.strangers == 1)
    port.services.routes.clear()
    client.send(check)
    port.poll_until(lambda: port.strangers == 2)
    assert len(received.payloads) == 1


def test_a_peer_that_closes_on_its_own_check_leaves_no_address_behind(port: Port) -> None:
    def receive(*_: object) -> bool:
        transport.close()
        return True

    transport = port.factory.open(receive)
    port.client(port.name(receive), b"\x80late")
    port.poll_until(lambda: port.strangers == 1)
    assert not transport.addresses


def test_a_peer_that_has_no_place_here_is_nobody(port: Port) -> None:
    """It may have a transport of another kind only."""
    port.client(port.name(Received()))
    port.poll_until(lambda: port.strangers == 1)


def test_each_worker_has_a_port_of_its_own(
    make_factory: MakeFactory, free_ports: Callable[[int], range]
) -> None:
    ports = free_ports(2)
    both = [FakeServices(worker, 2) for worker in range(2)]
    factories = [make_factory(ports, services, shared=True) for services in both]
    assert [factory.open(Received()).candidates[0].port for factory in factories] == list(ports)
    for factory, services in zip(factories, both, strict=True):
        factory.close()
        services.close()


@pytest.mark.parametrize("shared", [True, False])
def test_packets_leave_with_the_configured_mark(
    make_factory: MakeFactory, services: FakeServices, shared: bool
) -> None:
    factory = make_factory(1, shared=shared, dscp=34)
    factory.open(Received())
    marks = set()
    for fd in services.watched:
        with socket.socket(fileno=os.dup(fd)) as bound:
            level, option = (
                (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
                if bound.family == socket.AF_INET6
                else (socket.IPPROTO_IP, socket.IP_TOS)
            )
            marks.add((bound.family, bound.getsockopt(level, option)))
    assert marks == {(socket.AF_INET, 34 << 2), (socket.AF_INET6, 34 << 2)}


@pytest.mark.parametrize("shared", [True, False])
def test_the_mark_arrives_by_ipv4_and_by_ipv6(
    make_factory: MakeFactory, services: FakeServices, shared: bool
) -> None:
    received = Received()
    transport = make_factory(1, shared=shared, dscp=46).open(received)
    check = b"\0\1\0\0\x21\x12\xa4\x42" + os.urandom(12)
    services.routes[check] = received
    for candidate, level, option in zip(
        transport.candidates,
        (socket.IPPROTO_IP, socket.IPPROTO_IPV6),
        (13, socket.IPV6_RECVTCLASS),  # IP_RECVTOS, which Python does not name everywhere
        strict=True,
    ):
        client = UdpClient(candidate)
        client.socket.setsockopt(level, option, 1)
        received.datagrams.clear()
        client.send(check)
        services.poll_until(lambda: received.datagrams, "the check came")
        base, _, address = received.datagrams[0]
        base.send(b"marked", address)
        _, [(_, _, mark)], _, _ = client.socket.recvmsg(100, 100)
        assert mark[0] == 46 << 2
        client.close()
