"""What is set on sockets, and who counts as one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from sft.plugin.testing import FakeServices, Received
from sft_transport_tcp.factory import TcpFactory
from sft_transport_tcp.shared import SharedTcpFactory
from sft_transport_tcp.sockets import (
    TCP_NOTSENT_LOWAT,
    UNACKNOWLEDGED_SECONDS,
    UNSENT_BYTES,
    listen_tcp,
    network_of,
    prepare,
    refuse,
)
from support.factories import watching_only


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """(accepted, connected)"""
    with listen_tcp(request.param, 0) as listener:
        connected = socket.create_connection(listener.getsockname()[:2], 5)
        listener.setblocking(True)
        accepted, _ = listener.accept()
        with accepted, connected:
            yield accepted, connected


def test_a_peer_that_acknowledges_nothing_is_given_up_by_the_kernel(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """It also sees half-open connections, whose other end is gone without a word."""
    accepted, _ = pair
    prepare(accepted)
    seconds = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
    assert seconds == UNACKNOWLEDGED_SECONDS == 30


def test_little_waits_where_nothing_can_be_dropped_and_nothing_waits_for_more(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    accepted, _ = pair
    prepare(accepted)
    assert accepted.getsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT) == UNSENT_BYTES
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not accepted.getblocking()


def test_who_is_refused_is_reset(pair: tuple[socket.socket, socket.socket]) -> None:
    accepted, connected = pair
    refuse(accepted)
    with pytest.raises(ConnectionResetError):
        connected.recv(1)


def test_addresses_that_one_stranger_can_have_count_as_one() -> None:
    assert network_of(("192.0.2.1", 1)) == network_of(("192.0.2.1", 2)) != network_of(("192.0.2.2", 1))
    assert network_of(("2001:db8::1", 1, 0, 0)) == network_of(("2001:db8::ffff:1:2:3", 9, 0, 0))
    assert network_of(("2001:db8::1", 1, 0, 0)) != network_of(("2001:db8:0:1::1", 1, 0, 0))
    assert network_of(("fe80::1%eth0", 1, 0, 2)) == network_of(("fe80::2%eth0", 1, 0, 2))


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("watched", [0, 1])
def test_a_listener_that_cannot_be_watched_gives_its_port_back(
    make_factory: Callable[..., TcpFactory | SharedTcpFactory],
    services: FakeServices,
    monkeypatch: pytest.MonkeyPatch,
    shared: bool,
    watched: int,
) -> None:
    factory = make_factory(1, shared=shared)
    before = factory.stats()
    with monkeypatch.context() as patch:
        patch.setattr(services, "watch", watching_only(watched, services))
        with pytest.raises(OSError, match="No space left"):
            factory.open(Received())
    assert (factory.stats(), services.watched) == (before, {})
    factory.open(Received())
    assert len(services.watched) == 2
