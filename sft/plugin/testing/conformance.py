"""What every transport must do; see :class:`TransportConformance`."""

from __future__ import annotations

import abc
import os
import threading
from contextlib import suppress
from typing import Any

import attrs

from sft.errors import PortsExhausted
from sft.model import Address, Candidate
from sft.plugin.interfaces import Base, Receive, Transport, TransportFactory
from sft.plugin.testing.clients import Client, TcpClient, UdpClient
from sft.plugin.testing.services import FakeServices, Received

GARBAGE = (b"", b"\x00", b"\x00\x01", b"\x16\xfe\xfd", b"\x80", b"\xff" * 2000, bytes(range(256)) * 6)
STRANGERS = 30
FULL = 20_000
"""Datagrams of 1200 bytes that no kernel keeps for a reader who does not read."""


class TransportConformance(abc.ABC):
    """What every transport must do. Derive, implement ``make_factory``, and pytest runs it.

    What has to arrive looks like media by its first byte (RFC 7983): a transport may drop whatever a peer
    can make nothing of.

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
            up = [b"\x80" * size for size in (1, 100, 1200)]
            for candidate in transport.candidates:
                client = bench.connect(candidate, received)
                received.datagrams.clear()
                for data in up:
                    client.send(data)
                bench.services.poll_until(lambda: received.payloads[-3:] == up, "all datagrams came")
                base, _, address = received.datagrams[-1]
                base.send(b"\x80down", address)
                assert client.receive() == b"\x80down"

    def test_keeps_peers_apart(self) -> None:
        with _Bench(self) as bench:
            (one, of_one), (two, of_two) = bench.open(), bench.open()
            bench.connect(one.candidates[0], of_one).send(b"\x80one")
            bench.connect(two.candidates[0], of_two).send(b"\x80two")
            bench.services.poll_until(
                lambda: b"\x80one" in of_one.payloads and b"\x80two" in of_two.payloads, "both datagrams came"
            )
            assert b"\x80two" not in of_one.payloads
            assert b"\x80one" not in of_two.payloads

    def test_survives_garbage(self) -> None:
        """The transport may drop it or hand it up; what comes after it still comes."""
        with _Bench(self) as bench:
            transport, received = bench.open()
            client = bench.connect(transport.candidates[0], received)
            for garbage in GARBAGE:
                client.send(garbage)
            client.send(b"\x80after")
            bench.services.poll_until(
                lambda: b"\x80after" in received.payloads, "the datagram after garbage came"
            )

    def test_survives_a_flood_of_its_peer(self) -> None:
        with _Bench(self) as bench:
            transport, received = bench.open()
            client = bench.connect(transport.candidates[0], received)
            for _ in range(100):
                for _ in range(8):
                    client.send(b"\x80flood")
                bench.services.poll()
            client.send(b"\x80after")
            bench.services.poll_until(
                lambda: b"\x80after" in received.payloads, "the datagram after the flood came"
            )

    def test_survives_a_flood_of_a_stranger(self) -> None:
        """What the peer sends meanwhile comes; the stranger may be sent away."""
        with _Bench(self) as bench:
            transport, received = bench.open()
            client = bench.connect(transport.candidates[0], received)
            client.send(b"\x80before")
            bench.poll_until_came(received, b"\x80before")
            received.accepts = False  # of the stranger, that is
            stranger = bench.connect(transport.candidates[0])
            for number in range(100):
                with suppress(OSError):
                    for garbage in GARBAGE:
                        stranger.send(garbage)
                client.send(b"\x80%d" % number)
                bench.services.poll()
            bench.poll_until_came(received, b"\x8099")
            assert [data for data in received.payloads if data[1:].isdigit()] == [
                b"\x80%d" % number for number in range(100)
            ]

    def test_survives_strangers(self) -> None:
        """Who comes from elsewhere with garbage, a word or nothing at all changes nothing for the peer."""
        with _Bench(self) as bench:
            transport, received = bench.open()
            client = bench.connect(transport.candidates[0], received)
            client.send(b"\x80before")
            bench.services.poll_until(lambda: b"\x80before" in received.payloads, "the peer's datagram came")
            base, _, address = received.datagrams[-1]
            received.accepts = False  # of strangers, that is
            watched = len(bench.services.watched)
            strangers = [bench.connect(transport.candidates[0]) for _ in range(STRANGERS)]
            for number, stranger in enumerate(strangers):
                with suppress(OSError):
                    for garbage in GARBAGE[: number % (len(GARBAGE) + 1)]:
                        stranger.send(garbage)
                bench.services.poll()
            client.send(b"\x80after")
            bench.services.poll_until(lambda: b"\x80after" in received.payloads, "the peer's datagram came")
            base.send(b"\x80down", address)
            assert client.receive() == b"\x80down"
            for stranger in strangers:
                stranger.close()
            bench.services.poll_until(
                lambda: len(bench.services.watched) == watched, "strangers are forgotten"
            )

    def test_a_peer_may_come_from_another_address(self) -> None:
        with _Bench(self) as bench:
            transport, received = bench.open()
            for word in (b"\x80here", b"\x80there"):
                bench.connect(transport.candidates[0], received).send(word)
                bench.poll_until_came(received, word)
            (here, _, from_here), (there, _, from_there) = (
                next(one for one in received.datagrams if one[1] == word)
                for word in (b"\x80here", b"\x80there")
            )
            assert (here, from_here) != (there, from_there)

    def test_a_claim_without_proof_takes_no_address_away(self) -> None:
        """Where peers share a port: anybody can name anybody in a first datagram."""
        with _Bench(self) as bench:
            (one, of_one), (_, of_two) = bench.open(), bench.open()
            of_two.accepts = False
            client = bench.connect(one.candidates[0], of_one)
            client.send(b"\x80mine")
            bench.poll_until_came(of_one, b"\x80mine")
            claim = self.first_datagram(bench.services, of_two)
            if claim is not None:
                client.send(claim)
            client.send(b"\x80still mine")
            bench.poll_until_came(of_one, b"\x80still mine")
            assert b"\x80still mine" not in of_two.payloads

    def test_a_peer_that_vanishes_hurts_nobody(self) -> None:
        """Sending to it fails at most with OSError, the transport goes on, and all is freed."""
        with _Bench(self) as bench:
            bench.open()[0].close()
            before = _Held.by(bench)
            transport, received = bench.open()
            client = bench.connect(transport.candidates[0], received)
            client.send(b"\x80hello")
            bench.poll_until_came(received, b"\x80hello")
            base, _, address = received.datagrams[-1]
            client.close()
            for _ in range(100):
                with suppress(OSError):
                    base.send(bytes(1200), address)
                bench.services.poll()
            another = bench.connect(transport.candidates[0], received)
            another.send(b"\x80again")
            bench.services.poll_until(
                lambda: b"\x80again" in received.payloads, "another one's datagram came"
            )
            another.close()
            transport.close()
            assert _Held.by(bench) == before

    def test_a_full_kernel_buffer_blocks_nobody(self) -> None:
        """To a peer that does not read, a datagram is dropped or waits; once it reads it gets whole ones."""
        with _Bench(self) as bench:
            transport, received = bench.open()
            client = bench.connect(transport.candidates[0], received)
            client.send(b"\x80hello")
            bench.poll_until_came(received, b"\x80hello")
            base, _, address = received.datagrams[-1]
            flood, later = b"\x80" * 1200, b"\x16later"
            for _ in range(FULL):
                with suppress(OSError):
                    base.send(flood, address)
            read: list[bytes] = []

            def read_all() -> None:
                while later not in read[-1:]:
                    read.append(client.receive())

            def has_read() -> bool:
                with suppress(OSError):
                    base.send(later, address)
                return not reader.is_alive()

            reader = threading.Thread(target=read_all)
            reader.start()
            bench.services.poll_until(has_read, "what was sent later came")
            assert set(read) <= {flood, later}
            assert read[-1] == later
            assert len(read) < FULL

    def test_stops_reading_when_a_datagram_makes_the_peer_close(self) -> None:
        with _Bench(self) as bench:
            received: list[bytes] = []

            def receive(base: Base, data: bytes, address: Address, now: float) -> None:
                received.append(data)
                transport.close()

            transport = bench.factory.open(receive)
            client = bench.connect(transport.candidates[0], receive)
            for _ in range(3):
                client.send(b"\x80bye")
            bench.services.poll_until(lambda: received, "the datagram came")
            bench.services.poll()
            assert len(received) == 1

    def test_close_frees_everything_and_may_come_twice(self) -> None:
        """What all transports of a factory share may stay with the factory."""
        with _Bench(self, transports=3) as bench:
            bench.open()[0].close()
            before = _Held.by(bench)
            for _ in range(10):
                transports = [bench.open()[0] for _ in range(3)]
                for transport in transports:
                    transport.close()
                    transport.close()
            assert _Held.by(bench) == before

    def test_close_frees_what_its_peer_used(self) -> None:
        with _Bench(self) as bench:
            bench.open()[0].close()
            before = _Held.by(bench)
            for _ in range(3):
                transport, received = bench.open()
                client = bench.connect(transport.candidates[0], received)
                client.send(b"\x80hello")
                bench.poll_until_came(received, b"\x80hello")
                transport.close()
                client.close()
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
            client.send(b"\x80first")
            bench.poll_until_came(received, b"\x80first")
            base, _, address = received.datagrams[-1]
            transport.close()
            with suppress(OSError):
                client.send(b"\x80late")
            with suppress(OSError):
                base.send(b"\x80late", address)
            bench.services.poll()
            assert b"\x80late" not in received.payloads

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

    def poll_until_came(self, received: Received, data: bytes) -> None:
        self.services.poll_until(lambda: data in received.payloads, f"{data!r} came")

    def connect(self, candidate: Candidate, receive: Receive | None = None) -> Client:
        """The far end of ``receive``'s peer, or a stranger."""
        client = self._kit.make_client(candidate)
        self._clients.append(client)
        first = None if receive is None else self._kit.first_datagram(self.services, receive)
        if first is not None:
            client.send(first)
        return client
