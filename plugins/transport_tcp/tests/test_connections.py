"""Real connections: who is let in, how long, and what becomes of slow readers."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable

import pytest

from sft.model import Candidate, Drop
from sft.plugin import Base, BindAddress, Transport
from sft.plugin.testing import FakeServices, Received, TcpClient
from sft_transport_tcp.connection import PROOF_SECONDS, READ_BYTES, SILENCE_SECONDS
from sft_transport_tcp.framing import MAX_FRAME, to_frame
from sft_transport_tcp.shared import SharedTcpFactory
from sft_transport_tcp.transport import MAX_CONNECTIONS
from support.factories import watching_only

MakeFactory = Callable[..., SharedTcpFactory]
ONE_ADDRESS = (BindAddress("127.0.0.1"),)


class Table:
    """A shared port, one peer behind it, and clients that are closed at the end."""

    def __init__(self, services: FakeServices, make_factory: MakeFactory, **table: object) -> None:
        self.services = services
        self.factory = make_factory(1, addresses=ONE_ADDRESS, **table)
        self.received = Received()
        self.transport: Transport = self.factory.open(self.received)
        self.candidate: Candidate = self.transport.candidates[0]
        self.check = b"\0\1" + os.urandom(18)
        services.routes[self.check] = self.received
        self.clients: list[TcpClient] = []

    def connect(self) -> TcpClient:
        """Somebody who has said nothing yet."""
        before = self.connections + self.refused
        client = TcpClient(self.candidate)
        self.clients.append(client)
        self.services.poll_until(
            lambda: self.connections + self.refused > before, "it is accepted or refused"
        )
        return client

    def join(self) -> tuple[TcpClient, Base]:
        """The peer, proven."""
        client = self.connect()
        before = len(self.received.datagrams)
        client.send(self.check)
        self.services.poll_until(lambda: len(self.received.datagrams) > before, "the check came")
        return client, self.received.datagrams[-1][0]

    @property
    def connections(self) -> int:
        return self.factory.stats().connections

    @property
    def refused(self) -> int:
        return self.drops(Drop.CONNECTION_REFUSED)

    def drops(self, reason: Drop) -> int:
        return self.services.drops.counts[reason]

    def poll_until_closed(self, client: TcpClient) -> None:
        self.services.poll_until(lambda: is_closed(client), "the connection is closed")


def is_closed(client: TcpClient) -> bool:
    client.socket.setblocking(False)
    try:
        return client.socket.recv(65536) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


@pytest.fixture
def make_table(services: FakeServices, make_factory: MakeFactory):  # type: ignore[no-untyped-def]  # a generator of a closure
    tables: list[Table] = []

    def make(**options: object) -> Table:
        tables.append(Table(services, make_factory, **options))
        return tables[-1]

    yield make
    for table in tables:
        for client in table.clients:
            client.close()


@pytest.fixture
def table(make_table: Callable[..., Table]) -> Table:
    return make_table()


# Who is let in.


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1", b"\0\1" + bytes(18), b"\x16\xfe\xfd", b"\x80" * 12])
def test_a_first_frame_that_names_no_peer_ends_the_connection(table: Table, first: bytes) -> None:
    client = table.connect()
    client.send(first)
    table.poll_until_closed(client)
    assert table.drops(Drop.NO_PEER) == 1
    assert table.received.payloads == []


def test_who_says_nothing_is_sent_away(table: Table) -> None:
    client = table.connect()
    table.services.advance(PROOF_SECONDS - 1)
    table.services.poll()
    assert table.connections == 1
    table.services.advance(3)
    table.poll_until_closed(client)
    assert table.drops(Drop.CONNECTION_STALLED) == 1


def test_who_claims_and_does_not_prove_is_sent_away(table: Table) -> None:
    table.received.accepts = False
    client = table.connect()
    for _ in range(3):
        client.send(table.check)
    table.services.poll_until(lambda: len(table.received.payloads) == 3, "the checks came")
    table.services.advance(PROOF_SECONDS + 2)
    table.poll_until_closed(client)


def test_who_has_proven_itself_may_stay(table: Table) -> None:
    table.join()
    table.services.advance(PROOF_SECONDS + 2)
    table.services.poll()
    assert table.connections == 1


def test_a_frame_that_never_ends_is_not_waited_for(table: Table) -> None:
    client, _ = table.join()
    client.socket.sendall(b"\0\x64begun")
    table.services.poll_until(lambda: table.services.poll() == 0, "it was read")
    table.services.advance(PROOF_SECONDS + 2)
    table.poll_until_closed(client)
    assert table.drops(Drop.CONNECTION_STALLED) == 1


def test_bytes_that_drip_do_not_buy_time(table: Table) -> None:
    client, _ = table.join()
    for byte in b"\0\x64" + bytes(20):
        if table.connections:
            client.socket.sendall(bytes((byte,)))
            table.services.poll()
            table.services.advance(1)
    table.poll_until_closed(client)


def test_a_connection_that_fell_silent_is_closed(table: Table) -> None:
    client, _ = table.join()
    table.services.advance(SILENCE_SECONDS + 2)
    table.poll_until_closed(client)
    assert table.drops(Drop.CONNECTION_STALLED) == 1


def test_an_oversize_frame_ends_the_connection(table: Table) -> None:
    client, _ = table.join()
    client.socket.sendall(struct.pack("!H", MAX_FRAME + 1))
    table.poll_until_closed(client)
    assert table.drops(Drop.TOO_LARGE) == 1


def test_a_client_that_closes_one_direction_has_closed_both(table: Table) -> None:
    client, _ = table.join()
    client.socket.shutdown(socket.SHUT_WR)
    table.poll_until_closed(client)
    assert table.connections == 0


def test_one_address_cannot_take_all_places(make_table: Callable[..., Table]) -> None:
    table = make_table(pending_per_address=3)
    waiting = [table.connect() for _ in range(3)]
    refused = table.connect()
    table.poll_until_closed(refused)
    assert table.refused == 1
    assert table.connections == 3
    waiting[0].send(table.check)
    table.services.poll_until(lambda: table.received.payloads, "the check came")
    table.connect()
    assert table.connections == 4, "who has proven itself leaves its place to others"


def test_the_oldest_of_those_who_wait_makes_room(make_table: Callable[..., Table]) -> None:
    table = make_table(pending=2)
    first, second = table.connect(), table.connect()
    third = TcpClient(table.candidate)
    table.clients.append(third)
    table.poll_until_closed(first)
    assert not is_closed(second)
    assert table.refused == 1
    assert table.connections == 2


def test_a_peer_has_few_connections_at_once(table: Table) -> None:
    clients = [table.join()[0] for _ in range(MAX_CONNECTIONS + 1)]
    table.poll_until_closed(clients[0])
    assert table.connections == MAX_CONNECTIONS
    assert not is_closed(clients[1])


def exhausted(self: socket.socket) -> tuple[socket.socket, object]:
    """``accept`` when no descriptor is left."""
    raise OSError(errno.EMFILE, "Too many open files")


def test_without_descriptors_accepting_pauses_instead_of_spinning(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", exhausted)
        client = TcpClient(table.candidate)
        table.clients.append(client)
        table.services.poll_until(lambda: table.services.warned, "it was noticed")
        assert table.services.poll() == 0
    table.services.advance(2)
    table.services.poll_until(lambda: table.connections, "it is accepted later")
    assert [event for event, _ in table.services.warned] == ["transport_tcp.no_descriptors"]


def test_accepting_pauses_on_while_the_listener_cannot_be_watched(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", exhausted)
        patch.setattr(table.services, "watch", watching_only(0, table.services))
        table.clients.append(TcpClient(table.candidate))
        table.services.poll_until(lambda: table.services.warned, "it was noticed")
        table.services.advance(2)
        assert table.services.poll() == 1, "it was tried"
        assert not table.services.watched
    table.services.advance(2)
    table.services.poll_until(lambda: table.connections, "it is accepted later")


def test_a_factory_that_closes_while_accepting_pauses_stays_closed(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket.socket, "accept", exhausted)
    table.clients.append(TcpClient(table.candidate))
    table.services.poll_until(lambda: table.services.warned, "it was noticed")
    table.factory.close()
    table.services.advance(2)
    table.services.poll()
    assert not table.services.watched


# Reading.


def test_frames_come_whole_however_they_were_sent(table: Table) -> None:
    client, _ = table.join()
    datagrams = [bytes([size & 255]) * size for size in (1, 1200, 300, 2048, 7)]
    stream = b"".join(map(to_frame, datagrams))
    for at in range(0, len(stream), 333):
        client.socket.sendall(stream[at : at + 333])
        table.services.poll()
    table.services.poll_until(lambda: table.received.payloads[1:] == datagrams, "all came")


def test_a_wake_up_reads_a_bounded_piece(table: Table) -> None:
    client, _ = table.join()
    client.socket.sendall(to_frame(bytes(100)) * 2000)
    before = len(table.received.datagrams)
    table.services.poll()
    assert 0 < len(table.received.datagrams) - before <= READ_BYTES // 102 + 1
    table.services.poll_until(lambda: len(table.received.datagrams) == 2000 + before, "all came")


# Slow readers.


def fill(base: Base, address: tuple[str, int], factory: SharedTcpFactory) -> None:
    """Send media until the transport has dropped some."""
    while not factory.stats().queue_drops:
        base.send(b"\x80" * 1200, address)


def test_media_for_a_slow_reader_is_dropped_oldest_first_and_signalling_is_not(table: Table) -> None:
    client, base = table.join()
    address = table.received.datagrams[-1][2]
    fill(base, address, table.factory)
    signals = [b"\x16" + bytes([number]) for number in range(50)]
    for number, signal in enumerate(signals):
        base.send(signal, address)
        for _ in range(10):
            base.send(b"\x90" + bytes([number]) * 1199, address)
    assert table.drops(Drop.SLOW_READER) == table.factory.stats().queue_drops > 400
    assert table.drops(Drop.SEND_BLOCKED) == 0, "the machine has room"
    got: list[bytes] = []
    while b"\x90" + bytes([49]) * 1199 not in got[-1:]:
        table.services.poll()
        got.append(client.receive())
    assert [data for data in got if data[0] == 0x16] == signals
    assert {len(data) for data in got} == {2, 1200}


def test_media_that_waited_too_long_is_not_sent_any_more(table: Table) -> None:
    client, base = table.join()
    address = table.received.datagrams[-1][2]
    fill(base, address, table.factory)
    table.services.advance(1)
    base.send(b"\x16now", address)
    while client.receive() != b"\x16now":
        table.services.poll()
    dropped = table.factory.stats().queue_drops
    assert dropped > 50, "all that waited"
    base.send(b"\x80fresh", address)
    assert client.receive() == b"\x80fresh"
    assert table.factory.stats().queue_drops == dropped


def test_a_reader_that_takes_nothing_for_the_consent_time_is_closed(table: Table) -> None:
    """Although it goes on sending."""
    client, base = table.join()
    address = table.received.datagrams[-1][2]
    fill(base, address, table.factory)
    for _ in range(int(SILENCE_SECONDS) + 3):
        if not table.connections:
            break
        client.send(b"\x80still here")
        table.services.poll()
        table.services.advance(1)
        base.send(b"\x80" * 1200, address)
        table.services.poll()
    assert table.connections == 0
    assert table.drops(Drop.CONNECTION_STALLED) == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        base.send(b"\x80too late", address)


def test_a_reader_that_asks_and_never_reads_is_closed(table: Table) -> None:
    _, base = table.join()
    address = table.received.datagrams[-1][2]
    fill(base, address, table.factory)
    for _ in range(1000):
        if table.connections:
            base.send(b"\0" * 500, address)
    assert table.connections == 0
    assert table.drops(Drop.CONNECTION_STALLED) == 1


def test_a_reader_that_catches_up_gets_everything_again(table: Table) -> None:
    client, base = table.join()
    address = table.received.datagrams[-1][2]
    fill(base, address, table.factory)
    base.send(b"\x16marker", address)
    while client.receive() != b"\x16marker":
        table.services.poll()
    while table.services.poll():
        pass
    dropped = table.factory.stats().queue_drops
    rest = 0
    client.socket.settimeout(0.2)
    try:
        while client.receive():
            rest += 1
            table.services.poll()
    except TimeoutError:
        pass
    for number in range(20):
        base.send(b"\x80" + bytes([number]), address)
        assert client.receive() == b"\x80" + bytes([number])
    assert table.factory.stats().queue_drops == dropped


def test_a_connection_that_the_client_resets_is_gone_at_the_next_send(table: Table) -> None:
    client, base = table.join()
    address = table.received.datagrams[-1][2]
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    with pytest.raises(OSError, match=r"reset|Broken pipe"):
        base.send(b"\x80" * 100, address)
    assert table.connections == 0
    assert len(table.services.watched) == 1, "the listener"
