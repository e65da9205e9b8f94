"""The public test kit: it must itself notice what is wrong."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from sft.model import Candidate
from sft.plugin import Base, PortsExhausted, Receive, TransportStats
from sft.plugin.testing import FakeServices, Received, TransportConformance


@pytest.fixture
def services() -> Iterator[FakeServices]:
    services = FakeServices()
    yield services
    services.close()


def test_watched_descriptors_are_called_while_they_are_readable(services: FakeServices) -> None:
    near, far = socket.socketpair()
    calls: list[float] = []
    with near, far:
        services.watch(near.fileno(), calls.append)
        assert services.poll() == 0
        far.send(b"x")
        assert services.poll() == services.poll() == 1
        services.unwatch(near.fileno())
        assert services.poll() == 0
    assert len(calls) == 2


def test_a_callback_may_unwatch_another_one(services: FakeServices) -> None:
    pipes = [os.pipe() for _ in range(2)]
    calls: list[int] = []

    def callback(now: float) -> None:
        calls.append(1)
        for reader, _ in pipes:
            services.unwatch(reader)

    for reader, writer in pipes:
        services.watch(reader, callback)
        os.write(writer, b"x")
    services.poll()
    assert calls == [1]
    for pipe in pipes:
        for end in pipe:
            os.close(end)


def test_timers_come_in_the_order_of_their_time(services: FakeServices) -> None:
    order: list[str] = []
    now = services.now()
    services.call_at(now - 1, lambda _: order.append("second"))
    services.call_at(now - 2, lambda _: order.append("first"))
    services.call_at(now + 3600, lambda _: order.append("never"))
    assert services.poll() == 2
    assert order == ["first", "second"]


def test_writable_descriptors_are_called_when_that_is_wanted(services: FakeServices) -> None:
    near, far = socket.socketpair()
    calls: list[str] = []
    with near, far:
        services.watch(near.fileno(), lambda now: calls.append("read"), lambda now: calls.append("write"))
        assert services.poll() == 0
        services.want_write(near.fileno(), True)
        assert services.poll() == 1
        far.send(b"x")
        assert services.poll() == 2
        services.want_write(near.fileno(), False)
        assert services.poll() == 1
        services.unwatch(near.fileno())
    assert calls == ["write", "write", "read", "read"]


def test_time_can_be_let_pass(services: FakeServices) -> None:
    fired: list[float] = []
    services.call_at(services.now() + 3600, fired.append)
    assert services.poll() == 0
    services.advance(3601)
    assert services.poll() == 1
    assert fired[0] >= 3600


def test_waiting_for_what_never_happens_fails_with_its_name(
    services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sft.plugin.testing.services.PATIENCE", 0.0)
    with pytest.raises(AssertionError, match="a miracle"):
        services.poll_until(lambda: False, "a miracle")


def test_log_lines_and_routes_are_kept(services: FakeServices) -> None:
    received = Received()
    services.routes[b"hello"] = received
    services.log("pigeon.lost", how_many=3)
    services.warn("pigeon.tired")
    assert services.logged == [("pigeon.lost", {"how_many": 3})]
    assert services.warned == [("pigeon.tired", {})]
    assert services.route_untrusted(b"hello") is received
    assert services.route_untrusted(b"") is None


class LeakyTransport:
    """Forgets to stop watching, to close, and what port it had."""

    def __init__(self, receive: Receive, services: FakeServices) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.fd = self.socket.fileno()
        self.send = self.socket.sendto
        self.candidates = [Candidate("1", "udp", 1, "127.0.0.1", self.socket.getsockname()[1])]
        self._receive = receive
        services.watch(self.fd, self.on_readable)

    def on_readable(self, now: float) -> None:
        base: Base = self
        self._receive(base, *self.socket.recvfrom(2048), now)

    def close(self) -> None:
        pass


class LeakyFactory:
    name = "leaky"

    def __init__(self, services: FakeServices, ports: int) -> None:
        self.services = services
        self.ports = ports
        self.opened: list[LeakyTransport] = []

    def open(self, receive: Receive) -> LeakyTransport:
        if len(self.opened) == self.ports:
            raise PortsExhausted("all gone")
        self.opened.append(LeakyTransport(receive, self.services))
        return self.opened[-1]

    def stats(self) -> TransportStats:
        return TransportStats(self.ports, self.ports - len(self.opened))

    def check(self) -> list[object]:
        return []

    def close(self) -> None:
        for transport in self.opened:
            transport.socket.close()


class Leaky(TransportConformance):
    def make_factory(self, services: FakeServices, transports: int) -> LeakyFactory:  # type: ignore[override]  # check() gives nothing at all
        return LeakyFactory(services, transports)


@pytest.mark.parametrize(
    "test",
    [
        "test_carries_datagrams_both_ways_on_every_candidate",
        "test_keeps_peers_apart",
        "test_survives_garbage",
        "test_candidates_are_complete_and_distinct",
    ],
)
def test_the_kit_is_content_with_what_works(test: str) -> None:
    getattr(Leaky(), test)()


@pytest.mark.parametrize(
    ("test", "error"),
    [
        ("test_close_frees_everything_and_may_come_twice", PortsExhausted),
        ("test_refuses_when_exhausted_and_recovers", PortsExhausted),
        ("test_stats_count_free_ports", AssertionError),
        ("test_closing_the_factory_closes_its_transports", AssertionError),
        ("test_stops_reading_when_a_datagram_makes_the_peer_close", AssertionError),
        ("test_a_peer_that_sends_after_the_close_hurts_nobody", AssertionError),
    ],
)
def test_the_kit_catches_a_transport_that_leaks(test: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        getattr(Leaky(), test)()
