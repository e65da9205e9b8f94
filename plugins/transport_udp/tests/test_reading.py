"""How sockets are read: in turns, bounded, and with everything that is dropped counted."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from sft.model import Drop, Drops
from sft.plugin import Address, Base, BindAddress
from sft.plugin.testing import FakeServices, Received, UdpClient
from sft_transport_udp.base import DRAIN, MAX_DATAGRAM, UdpBase
from sft_transport_udp.factory import UdpFactory

MakeFactory = Callable[..., UdpFactory]
ONE_ADDRESS = (BindAddress("127.0.0.1"),)


def test_a_busy_socket_does_not_starve_the_others(make_factory: MakeFactory, services: FakeServices) -> None:
    """Whoever reads the busy one sends it another: it is readable for ever. The others still get their
    turn in the same round of the loop."""
    factory = make_factory(4, addresses=ONE_ADDRESS)
    quiet = [Received() for _ in range(3)]
    clients = [UdpClient(factory.open(received).candidates[0]) for received in quiet]
    count = 0

    def receive(base: Base, data: bytes, address: Address, now: float) -> None:
        nonlocal count
        count += 1
        busy_client.send(b"\x80again")

    busy_client = UdpClient(factory.open(receive).candidates[0])
    for _ in range(2 * DRAIN):
        busy_client.send(b"\x80first")
    for client in clients:
        client.send(b"\x80please")
    calls = services.poll()
    assert count == 1, "nothing says yet that it is busy"
    assert [received.payloads for received in quiet] == [[b"\x80please"]] * 3
    assert calls == 4
    services.poll()
    assert count == 1 + DRAIN, "the busy one goes on in the next round"
    for client in (*clients, busy_client):
        client.close()


def test_a_datagram_that_is_too_large_is_counted_and_the_next_is_read(
    make_factory: MakeFactory, services: FakeServices
) -> None:
    received = Received()
    client = UdpClient(make_factory(1, addresses=ONE_ADDRESS).open(received).candidates[0])
    client.send(b"\x80" * (MAX_DATAGRAM + 1))
    client.send(b"\x80" * 60000)
    client.send(b"\x80" * MAX_DATAGRAM)
    services.poll_until(lambda: received.payloads, "the last one came")
    assert [len(data) for data in received.payloads] == [MAX_DATAGRAM]
    assert services.drops.counts[Drop.TOO_LARGE] == 2
    client.close()


def test_an_icmp_error_does_not_end_the_reading() -> None:
    """A connected socket reports the ICMP error of an earlier send when it is read, then goes on."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs,
    ):
        ours.bind(("127.0.0.1", 0))
        ours.setblocking(False)
        theirs.bind(("127.0.0.1", 0))
        address = theirs.getsockname()
        ours.connect(address)
        theirs.close()
        ours.send(b"to nobody")
        received = Received()
        base = UdpBase(ours, received, Drops())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(address)
            again.sendto(b"after the error", ours.getsockname())
            base.on_readable(0.0)
            base.on_readable(0.0)
        assert received.payloads == [b"after the error"]


def test_what_the_kernel_drops_is_seen_before_and_after_the_close(make_factory: MakeFactory) -> None:
    """Nobody reads the socket, so its buffer fills."""
    factory = make_factory(1, addresses=ONE_ADDRESS, receive_buffer=8192)
    transport = factory.open(Received())
    client = UdpClient(transport.candidates[0])
    for _ in range(500):
        client.send(b"\x80" * 1100)
    drops = factory.stats().kernel_drops
    assert 400 < drops < 500
    transport.close()
    assert factory.stats().kernel_drops == drops
    factory.open(Received())
    assert factory.stats().kernel_drops == drops
    client.close()


def test_send_of_a_closed_port_is_an_os_error(make_factory: MakeFactory, services: FakeServices) -> None:
    received = Received()
    transport = make_factory(1, addresses=ONE_ADDRESS).open(received)
    client = UdpClient(transport.candidates[0])
    client.send(b"\x80hello")
    services.poll_until(lambda: received.payloads, "the datagram came")
    base, _, address = received.datagrams[0]
    transport.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        base.send(b"too late", address)
    client.close()


def test_the_descriptor_is_for_engines_that_send_by_themselves(
    make_factory: MakeFactory, services: FakeServices
) -> None:
    received = Received()
    client = UdpClient(make_factory(1, addresses=ONE_ADDRESS).open(received).candidates[0])
    client.send(b"\x80hello")
    services.poll_until(lambda: received.payloads, "the datagram came")
    base, _, address = received.datagrams[0]
    assert base.fd is not None
    with socket.socket(fileno=socket.dup(base.fd)) as same:
        same.sendto(b"from the engine", address)
    assert client.receive() == b"from the engine"
    client.close()
