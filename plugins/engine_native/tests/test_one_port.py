"""Several peers at one socket: each datagram is its owner's, as long as the address is."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Iterator
from functools import partial
from operator import attrgetter

import pytest
from pylibsrtp import Policy, Session

pytest.importorskip("sft_engine_native", reason="*** the native engine is not compiled ***")

from sft.forwarding.endpoint import Endpoint
from sft.forwarding.engine import PythonEngine
from sft.forwarding.loop import receive
from sft.forwarding.table import Table
from sft.model import Drop, Drops, ParticipantId, SrtpParameters
from sft_engine_native import NativeEngine
from sft_transport_udp.base import UdpBase
from sft_transport_udp.shared import AddressTable, SharedUdpTransport

KEY = bytes(range(28))
KEYS = SrtpParameters("SRTP_AEAD_AES_128_GCM", inbound=KEY, outbound=KEY)


class Port:
    """The port, its peers and their clients; a check is two bytes that name the peer."""

    def __init__(self, native: bool) -> None:
        self.drops = Drops()
        self.server = bound()
        self.engine = NativeEngine(self.drops) if native else PythonEngine(self.drops)
        self.table = Table(os.urandom, lambda now: now, lambda when: None)
        self.clients = [bound() for _ in range(3)]
        self.endpoints = [self.endpoint() for _ in range(2)]
        make = self.engine.receiver if native else (lambda one: partial(receive, one))
        self.receives = [make(endpoint) for endpoint in self.endpoints]
        transports = {one: SharedUdpTransport(one, (), (), lambda gone: None) for one in self.receives}
        self.transports = list(transports.values())
        addresses = AddressTable(transports, self)
        self.base = UdpBase(self.server, addresses.receive, self.drops, addresses.owners)
        self.base.watch(self, self.receives[0], attrgetter("receive"))
        policy = Policy(KEY, Policy.SSRC_ANY_OUTBOUND, 0, Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
        self.sessions = [Session(policy) for _ in self.endpoints]
        self.sent = 0

    def endpoint(self) -> Endpoint:
        endpoint = Endpoint(ParticipantId("a", "_"), 7, 5, 9, self.engine, self.drops, os.urandom)
        endpoint.set_answer(5, (), audio_nack=False, video_nack=False)
        endpoint.control = lambda base, data, address, now: True
        self.table.add(endpoint, 0.0)
        endpoint.open(KEYS, 0.0)
        return endpoint

    def watch(self, fd: int, on_readable) -> None:
        self.on_readable = on_readable

    def unwatch(self, fd: int) -> None:
        del self.on_readable

    def route_untrusted(self, first: bytes):
        return self.receives[first[1]]

    def check(self, client: int, peer: int) -> None:
        self.send(client, bytes((0, peer)))

    def media(self, client: int, peer: int, count: int = 3) -> None:
        for _ in range(count):
            self.sent += 1
            packet = bytes.fromhex("806f") + self.sent.to_bytes(2, "big") + bytes(7) + b"\5payload"
            self.send(client, self.sessions[peer].protect(packet))

    def send(self, client: int, data: bytes) -> None:
        self.clients[client].sendto(data, self.server.getsockname())
        self.on_readable(time.monotonic())

    def story(self) -> list[object]:
        """Who has got how many packets, and what was dropped, after each step."""
        seen: list[object] = []

        def look() -> None:
            counted = {reason: count for reason, count in self.drops.counts.items() if count}
            seen.append(([one.packets for one in self.endpoints], counted))

        self.media(0, 0)  # nobody's
        look()
        self.check(0, 0)
        self.check(1, 1)
        for _ in range(3):
            self.media(0, 0)
            self.media(1, 1)
        look()
        self.check(0, 1)  # an address that goes to another
        self.media(0, 1)
        self.media(1, 1)
        look()
        self.transports[1].close()
        self.media(0, 1)
        self.media(1, 1)
        look()
        self.check(2, 0)
        self.media(2, 0, count=20)
        look()
        return seen

    def close(self) -> None:
        self.base.close()
        for one in self.clients:
            one.close()


def bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    return made


@pytest.fixture
def native() -> Iterator[Port]:
    port = Port(native=True)
    yield port
    port.close()


def test_each_gets_its_own_as_with_the_python_engine(native: Port) -> None:
    python = Port(native=False)
    assert native.story() == python.story()
    assert native.drops.counts[Drop.NO_PEER] == 9
    python.close()


def test_who_has_left_is_forgotten(native: Port) -> None:
    native.story()
    for _ in range(5):
        native.check(2, 0)
    gc.collect()  # what is left of other tests
    peers = [one for one in gc.get_objects() if type(one).__name__ == "Peer"]
    assert len(peers) == 1
