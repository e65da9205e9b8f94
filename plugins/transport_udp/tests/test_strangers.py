"""What unproven addresses are heard of, and whom it does not hurt."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from sft.model import Drop, Drops
from sft.plugin import BindAddress, Receive
from sft.plugin.testing import FakeServices, Received, UdpClient
from sft_transport_udp.factory import UdpFactory
from sft_transport_udp.strangers import MAX_COUNTED, MAX_PER_SECOND, Strangers

MakeFactory = Callable[..., UdpFactory]
MEDIA = b"\x80media"
HERE, THERE = ("192.0.2.1", 1), ("192.0.2.1", 2)


def check_of(services: FakeServices, receive: Receive) -> bytes:
    check = b"\0\1\0\0\x21\x12\xa4\x42" + os.urandom(12)
    services.routes[check] = receive
    return check


@pytest.mark.parametrize("shared", [False, True])
def test_a_flood_is_cut_off_and_neither_the_peer_nor_another_stranger_is(
    make_factory: MakeFactory, services: FakeServices, shared: bool
) -> None:
    services.now = lambda: 100.0  # type: ignore[method-assign]  # all of it within one second
    received = Received()
    transport = make_factory(1, shared=shared, addresses=(BindAddress("127.0.0.1"),)).open(received)
    check = check_of(services, received)
    peer, moved, flooder = (UdpClient(transport.candidates[0]) for _ in range(3))

    def heard(client: UdpClient) -> int:
        return sum(1 for _, data, address in received.datagrams if address == client.socket.getsockname())

    def flood(count: int) -> None:
        for _ in range(count):
            flooder.send(MEDIA)
            services.poll()

    peer.send(check)
    services.poll_until(lambda: heard(peer), "the check came")
    received.accepts = False
    flood(2 * MAX_PER_SECOND)
    services.poll_until(lambda: services.poll() == 0, "all was read")
    for _ in range(2 * MAX_PER_SECOND):  # who has proven itself is not counted
        peer.send(MEDIA)
        services.poll()
    services.poll_until(lambda: heard(peer) == 1 + 2 * MAX_PER_SECOND, "all of the peer's came")
    assert services.drops.counts[Drop.STRANGER] == MAX_PER_SECOND

    received.accepts = True
    moved.send(check)
    moved.send(MEDIA)
    services.poll_until(lambda: heard(moved) == 2, "a client with a new address is heard")
    for client in (peer, moved, flooder):
        client.close()


def test_each_address_has_so_many_a_second() -> None:
    drops = Drops()
    strangers = Strangers(drops)
    heard = [strangers.admit(HERE, 0.5) for _ in range(MAX_PER_SECOND + 2)]
    assert heard == [True] * MAX_PER_SECOND + [False] * 2
    assert strangers.admit(THERE, 0.5)
    assert not strangers.admit(HERE, 1.4)
    assert strangers.admit(HERE, 1.5)
    assert drops.counts[Drop.STRANGER] == 3


def test_addresses_without_number_take_no_memory_without_bound() -> None:
    strangers = Strangers(Drops())
    for port in range(2 * MAX_COUNTED):
        assert strangers.admit(("192.0.2.1", port), 0.0)
    assert len(strangers._counts) == MAX_COUNTED


def test_proven_addresses_are_bounded(make_factory: MakeFactory, services: FakeServices) -> None:
    received = Received()
    transport = make_factory(1, addresses=(BindAddress("127.0.0.1"),)).open(received)
    clients = [UdpClient(transport.candidates[0]) for _ in range(20)]
    for client in clients:
        client.send(MEDIA)
        services.poll_until(lambda: services.poll() == 0, "it was read")
    (base, _), *_ = transport.ends
    assert list(base.proven) == [client.socket.getsockname() for client in clients[4:]]
    for client in clients:
        client.close()
