"""For the tests of plugins: a worker's services without a worker, and what every transport must do.

A transport's own test-suite runs the kit by deriving from it::

    from sft.plugin.testing import FakeServices, TransportConformance

    class TestPigeon(TransportConformance):
        def make_factory(self, services: FakeServices, transports: int) -> PigeonFactory:
            return PigeonFactory(PigeonConfig(pigeons=transports), services)

Nothing here needs trio; sockets are real and on this machine.
"""

from __future__ import annotations

import abc
import heapq
import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal, Protocol

import attrs

from sft.errors import PortsExhausted
from sft.model import Address, Candidate, Drops
from sft.plugin.interfaces import Base, Receive, Transport, TransportFactory

PATIENCE = 5.0
"""Seconds after which something that should happen counts as not happening."""


class FakeServices:
    """A worker's services, driven by hand: :meth:`poll` is one turn of the worker's loop.

    Implements :class:`sft.plugin.Services`. ``logged`` collects the log lines; ``routes`` says whose
    a first datagram is (``route_untrusted``).
    """

    role: Literal["worker"] = "worker"

    def __init__(self, worker: int = 0, workers: int = 1) -> None:
        self.worker = worker
        self.workers = workers
        self.drops = Drops()
        self.logged: list[tuple[str, dict[str, object]]] = []
        self.routes: dict[bytes, Receive] = {}
        self.watched: dict[int, Callable[[float], None]] = {}
        self._epoll = select.epoll()
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = itertools.count()

    def now(self) -> float:
        return time.monotonic()

    def watch(self, fd: int, on_readable: Callable[[float], None]) -> None:
        self._epoll.register(fd, select.EPOLLIN)
        self.watched[fd] = on_readable

    def unwatch(self, fd: int) -> None:
        self._epoll.unregister(fd)  # raises OSError if the descriptor was closed before
        del self.watched[fd]

    def call_at(self, when: float, callback: Callable[[float], None]) -> object:
        heapq.heappush(self._timers, (when, next(self._count), callback))
        return callback

    def route_untrusted(self, first: bytes) -> Receive | None:
        return self.routes.get(first)

    def log(self, event: str, **fields: object) -> None:
        self.logged.append((event, fields))

    def poll(self, timeout: float = 0.0) -> int:
        """Wait at most ``timeout`` seconds; call what is readable or due. Gives how many calls that were."""
        if self._timers:
            timeout = max(0.0, min(timeout, self._timers[0][0] - self.now()))
        calls = 0
        for fd, _ in self._epoll.poll(timeout):
            if fd in self.watched:  # an earlier call of this round may have closed it
                self.watched[fd](self.now())
                calls += 1
        while self._timers and self._timers[0][0] <= self.now():
            heapq.heappop(self._timers)[2](self.now())
            calls += 1
        return calls

    def poll_until(self, happened: Callable[[], object], what: str) -> None:
        """Turn the loop until ``happened()``; ``AssertionError`` naming ``what`` if it takes too long."""
        deadline = self.now() + PATIENCE
        while not happened():
            assert self.now() < deadline, f"did not happen within {PATIENCE} s: {what}"
            self.poll(0.05)

    def close(self) -> None:
        self._epoll.close()


@attrs.define
class Received:
    """A ``receive`` for transports that keeps what comes."""

    datagrams: list[tuple[Base, bytes, Address]] = attrs.field(factory=list)

    def __call__(self, base: Base, data: bytes, address: Address, now: float) -> None:
        self.datagrams.append((base, data, address))

    @property
    def payloads(self) -> list[bytes]:
        return [data for _, data, _ in self.datagrams]


class Client(Protocol):
    """The far end of a transport, in the test."""

    def send(self, data: bytes) -> None: ...

    def receive(self) -> bytes:
        """The next datagram; ``TimeoutError`` after ``PATIENCE`` seconds."""

    def close(self) -> None: ...


class UdpClient:
    """Sends to and receives from a UDP candidate."""

    def __init__(self, candidate: Candidate) -> None:
        family = socket.AF_INET6 if ":" in candidate.host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((candidate.host, candidate.port))

    def send(self, data: bytes) -> None:
        self.socket.send(data)

    def receive(self) -> bytes:
        return self.socket.recv(65536)

    def close(self) -> None:
        self.socket.close()


class TcpClient:
    """The same for a passive TCP candidate: each datagram after its length in two bytes (RFC 4571)."""

    def __init__(self, candidate: Candidate) -> None:
        self.socket = socket.create_connection((candidate.host, candidate.port), PATIENCE)

    def send(self, data: bytes) -> None:
        self.socket.sendall(struct.pack("!H", len(data)) + data)

    def receive(self) -> bytes:
        (length,) = struct.unpack("!H", self._exactly(2))
        return self._exactly(length)

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise ConnectionError("the transport closed the connection")
            data += more
        return bytes(data)


class TransportConformance(abc.ABC):
    """What every transport must do. Derive, implement ``make_factory``, and pytest runs it.

    Transports whose peers share a port override ``first_datagram``: it registers ``receive`` in
    ``services.routes``, and gives what a client must send first so that the transport finds it there.
    """

    @abc.abstractmethod
    def make_factory(self, services: FakeServices, transports: int) -> TransportFactory:
        """A factory on this machine's loopback that can have ``transports`` transports open at once."""

    def make_client(self, candidate: Candidate) -> Client:
        """Something that talks to a candidate; right for UDP and for passive TCP as it is."""
        return TcpClient(candidate) if candidate.protocol == "tcp" else UdpClient(candidate)

    def first_datagram(self, services: FakeServices, receive: Receive) -> bytes | None:
        """What a client sends before anything else; None: nothing special."""
        return None

    def test_candidates_are_complete_and_distinct(self) -> None:
        with _Bench(self) as bench:
            transport, _ = bench.open()
            candidates = list(transport.candidates)
            assert candidates, "a transport offers at least one candidate"
            for candidate in candidates:
                assert 0 < candidate.port < 65536, f"{candidate}: no port"
                assert 1 <= len(candidate.foundation) <= 32, f"{candidate}: foundation (RFC 8839 section 5.1)"
                assert 0 < candidate.priority < 2**31, f"{candidate}: priority (RFC 8445 section 5.1.2)"
            priorities = {candidate.priority for candidate in candidates}
            assert len(priorities) == len(candidates), "priorities of a peer's candidates differ"

    def test_foundations_stay_from_one_transport_to_the_next(self) -> None:
        with _Bench(self) as bench:
            first, second = bench.open()[0], bench.open()[0]
            assert [one.foundation for one in first.candidates] == [
                one.foundation for one in second.candidates
            ]

    def test_carries_datagrams_both_ways_on_every_candidate(self) -> None:
        with _Bench(self) as bench:
            transport, received = bench.open()
            up = [bytes([size & 255]) * size for size in (1, 100, 1200)]
            for candidate in transport.candidates:
                client = bench.connect(candidate, received)
                received.datagrams.clear()
                for data in up:
                    client.send(data)
                bench.services.poll_until(lambda: received.payloads[-3:] == up, "all datagrams came")
                base, _, address = received.datagrams[-1]
                base.send(b"down", address)
                assert client.receive() == b"down"

    def test_keeps_peers_apart(self) -> None:
        with _Bench(self) as bench:
            (one, of_one), (two, of_two) = bench.open(), bench.open()
            bench.connect(one.candidates[0], of_one).send(b"one")
            bench.connect(two.candidates[0], of_two).send(b"two")
            bench.services.poll_until(
                lambda: b"one" in of_one.payloads and b"two" in of_two.payloads, "both datagrams came"
            )
            assert b"two" not in of_one.payloads
            assert b"one" not in of_two.payloads

    def test_survives_garbage(self) -> None:
        """The transport may drop it or hand it up; what comes after it still comes."""
        with _Bench(self) as bench:
            transport, received = bench.open()
            client = bench.connect(transport.candidates[0], received)
            for garbage in (b"", b"\x00", b"\xff" * 2000, bytes(range(256)) * 6):
                client.send(garbage)
            client.send(b"after")
            bench.services.poll_until(
                lambda: b"after" in received.payloads, "the datagram after garbage came"
            )

    def test_stops_reading_when_a_datagram_makes_the_peer_close(self) -> None:
        with _Bench(self) as bench:
            received: list[bytes] = []

            def receive(base: Base, data: bytes, address: Address, now: float) -> None:
                received.append(data)
                transport.close()

            transport = bench.factory.open(receive)
            client = bench.connect(transport.candidates[0], receive)
            for _ in range(3):
                client.send(b"bye")
            bench.services.poll_until(lambda: received, "the datagram came")
            bench.services.poll()
            assert len(received) == 1

    def test_close_frees_everything_and_may_come_twice(self) -> None:
        with _Bench(self, transports=3) as bench:
            before = _Held.by(bench)
            for _ in range(10):
                transports = [bench.open()[0] for _ in range(3)]
                for transport in transports:
                    transport.close()
                    transport.close()
            assert _Held.by(bench) == before

    def test_closing_the_factory_closes_its_transports(self) -> None:
        with _Bench(self) as bench:
            bench.open()
            bench.factory.close()
            assert not bench.services.watched

    def test_a_peer_that_sends_after_the_close_hurts_nobody(self) -> None:
        with _Bench(self) as bench:
            transport, received = bench.open()
            client = bench.connect(transport.candidates[0], received)
            client.send(b"first")
            bench.services.poll_until(lambda: b"first" in received.payloads, "the datagram came")
            base, _, address = received.datagrams[-1]
            transport.close()
            with suppress(OSError):
                client.send(b"late")
            with suppress(OSError):
                base.send(b"late", address)
            bench.services.poll()
            assert b"late" not in received.payloads

    def test_refuses_when_exhausted_and_recovers(self) -> None:
        with _Bench(self, transports=2) as bench:
            first, _ = bench.open()
            bench.open()
            held = _Held.by(bench)
            for _ in range(3):
                try:
                    bench.open()
                except PortsExhausted:
                    continue
                raise AssertionError("PortsExhausted was not raised")
            assert _Held.by(bench) == held, "a refused open holds nothing"
            first.close()
            bench.open()

    def test_stats_count_free_ports(self) -> None:
        with _Bench(self, transports=3) as bench:
            before = bench.factory.stats()
            transport, _ = bench.open()
            assert bench.factory.stats().ports_total == before.ports_total
            assert bench.factory.stats().ports_free == before.ports_free - 1
            transport.close()
            assert bench.factory.stats() == before

    def test_check_finds_nothing_wrong(self) -> None:
        with _Bench(self) as bench:
            held = _Held.by(bench)
            assert [finding for finding in bench.factory.check() if not finding.ok] == []
            assert _Held.by(bench) == held, "check holds nothing"


@attrs.frozen
class _Held:
    """What a transport could leak."""

    watched: int
    descriptors: int
    ports_free: int

    @classmethod
    def by(cls, bench: _Bench) -> _Held:
        return cls(
            len(bench.services.watched), len(os.listdir("/proc/self/fd")), bench.factory.stats().ports_free
        )


class _Bench:
    """A factory, its services and the clients of one test; closes them all."""

    def __init__(self, kit: TransportConformance, transports: int = 2) -> None:
        self.services = FakeServices()
        self.factory = kit.make_factory(self.services, transports)
        self._kit = kit
        self._clients: list[Client] = []

    def __enter__(self) -> _Bench:
        return self

    def __exit__(self, *_: Any) -> None:
        for client in self._clients:
            client.close()
        self.factory.close()
        self.services.close()

    def open(self) -> tuple[Transport, Received]:
        received = Received()
        return self.factory.open(received), received

    def connect(self, candidate: Candidate, receive: Receive) -> Client:
        client = self._kit.make_client(candidate)
        self._clients.append(client)
        first = self._kit.first_datagram(self.services, receive)
        if first is not None:
            client.send(first)
        return client
