"""Relayed addresses from a real coturn: over UDP, TCP and TLS, with either login."""

from __future__ import annotations

import gc
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from sft.calls.requests import Connect
from sft.calls.timers import TimerHeap
from sft.config import Config, parse_config
from sft.errors import ConfigError
from sft.model import Address, Drops, IceServer, ParticipantId
from sft.server.pump import Pump
from sft.server.relay import Relays, RelayServer
from sft.server.relay_links import FULL, MAX_UNSENT, open_stream_link
from sft.server.relay_transport import RelayTransport
from sft.webrtc.turn import TurnClient, TurnFailure
from support.coturn import SECRET, Coturn, running_coturn

CHECK = bytes(20)
MEDIA = b"\x80" + bytes(1100)


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with running_coturn(tmp_path_factory.mktemp("coturn")) as coturn:
        yield coturn


def config_for(
    coturn: Coturn, *links: str, username: str = "ann", password: str = "pass", more: str = ""
) -> Config:
    urls = [coturn.url(link) for link in links]
    return parse_config(
        f"""
        [ice]
        mode = "full"
        [relay]
        servers = {urls}
        username = "{username}"
        password = "{password}"
        ca_file = "{coturn.certificate}"
        wait_seconds = 5.0
        {more}
        """
    )


def connect(*servers: IceServer) -> Connect:
    return Connect("call", ParticipantId("ann", "_"), "127.0.0.1", ice_servers=servers)


class Inbox:
    """A ``receive`` that keeps what comes."""

    def __init__(self) -> None:
        self.datagrams: list[tuple[Any, bytes, Address]] = []
        self._came = trio.Event()

    def __call__(self, base: Any, data: bytes, address: Address, now: float) -> None:
        self.datagrams.append((base, data, address))
        self._came.set()

    async def wait(self, count: int = 1) -> None:
        with trio.fail_after(5):
            while len(self.datagrams) < count:
                self._came = trio.Event()
                await self._came.wait()


class Setup:
    def __init__(self, relays: Relays, pump: Pump, timers: TimerHeap) -> None:
        self.relays, self.pump, self.timers = relays, pump, timers
        self.inbox = Inbox()

    async def open(
        self, request: Connect | None = None, *, only_relayed: bool = False
    ) -> list[RelayTransport]:
        transports = await self.relays.open(request or connect())
        for transport in transports:
            transport.claim(self.inbox, only_relayed=only_relayed)
        return transports


@asynccontextmanager
async def relays(config: Config) -> AsyncIterator[Setup]:
    """Leaving the block asserts that nothing is left."""
    timers = TimerHeap()
    errors: list[BaseException] = []
    pump = Pump(timers, errors.append)
    made = Relays(config, pump, timers, Drops())
    gc.collect()  # what other tests left must not go meanwhile
    before = len(os.listdir("/proc/self/fd"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        yield Setup(made, pump, timers)
        nursery.cancel_scope.cancel()
    assert errors == []
    assert made.open_now == 0
    assert (pump.watched, len(timers)) == (0, 0)
    assert len(os.listdir("/proc/self/fd")) == before
    pump.close()


@pytest.fixture
async def peer() -> AsyncIterator[trio.socket.SocketType]:
    """Somebody who is to be reached."""
    bound = trio.socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    await bound.bind(("127.0.0.1", 0))
    yield bound
    bound.close()


async def until(happened: Callable[[], object]) -> None:
    while not happened():  # noqa: ASYNC110  # nobody would set an event
        await trio.sleep(0.01)


async def both_ways(setup: Setup, transport: RelayTransport, peer: trio.socket.SocketType) -> None:
    """Checks, then media: by indication, then by channel."""
    (base, candidate), *_ = [end for end in transport.ends if end[1].kind == "relay"]
    for number in range(30):
        payload = bytes([number % 4]) + CHECK if number < 4 else MEDIA + bytes([number])
        base.send(payload, peer.getsockname())
        with trio.fail_after(5):
            received, source = await peer.recvfrom(2048)
        assert (received, source[:2]) == (payload, (candidate.host, candidate.port))
        before = len(setup.inbox.datagrams)
        await peer.sendto(payload[::-1], (candidate.host, candidate.port))
        await setup.inbox.wait(before + 1)
        assert setup.inbox.datagrams[-1] == (base, payload[::-1], peer.getsockname()[:2])
        if number >= 10:
            assert transport._client.wrap(MEDIA, peer.getsockname()) is not None


@pytest.mark.parametrize("link", ["udp", "tcp", "tls"])
async def test_datagrams_go_both_ways_through_the_relay(
    coturn: Coturn, peer: trio.socket.SocketType, link: str
) -> None:
    async with relays(config_for(coturn, link)) as setup:
        [transport] = await setup.open()
        assert [one.kind for one in transport.candidates] == (
            ["srflx", "relay"] if link == "udp" else ["relay"]
        )
        relayed = transport.candidates[-1]
        assert relayed.port in coturn.relay_ports
        assert (relayed.protocol, relayed.related_host) == ("udp", "127.0.0.1")
        await both_ways(setup, transport, peer)
        transport.close()
        with pytest.raises(OSError, match="gone"):
            transport.ends[-1][0].send(CHECK, peer.getsockname())


async def test_a_server_reached_by_ipv6_gives_an_ipv6_address(tmp_path: Path) -> None:
    with (
        running_coturn(tmp_path, host="::1") as coturn,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as peer,
    ):
        peer.bind(("::1", 0))
        peer.setblocking(False)
        async with relays(config_for(coturn, "udp")) as setup:
            [transport] = await setup.open()
            await both_ways(setup, transport, trio.socket.from_stdlib_socket(peer))
            transport.close()


async def test_credentials_are_made_of_a_shared_secret(tmp_path: Path, peer: trio.socket.SocketType) -> None:
    with running_coturn(tmp_path, with_secret=True) as coturn:
        secret = tmp_path / "secret"
        secret.write_text(f"{SECRET}\n")
        config = config_for(coturn, "udp", username="sft", password="", more=f'secret_file = "{secret}"')
        async with relays(config) as setup:
            [transport] = await setup.open()
            await both_ways(setup, transport, peer)
            transport.close()


async def test_the_socket_itself_is_a_server_reflexive_candidate(
    coturn: Coturn, peer: trio.socket.SocketType
) -> None:
    async with relays(config_for(coturn, "udp")) as setup:
        [transport] = await setup.open()
        base, candidate = transport.ends[0]
        assert candidate.kind == "srflx"
        await peer.sendto(b"direct", (candidate.host, candidate.port))
        await setup.inbox.wait()
        assert setup.inbox.datagrams == [(base, b"direct", peer.getsockname())]
        base.send(b"back", peer.getsockname())
        assert await peer.recv(100) == b"back"
        transport.close()


async def test_stun_alone_gives_a_server_reflexive_candidate(coturn: Coturn) -> None:
    config = parse_config(f'[ice]\nmode = "full"\n[relay]\nservers = ["stun:127.0.0.1:{coturn.port}"]')
    async with relays(config) as setup:
        [transport] = await setup.open()
        assert [one.kind for one in transport.candidates] == ["srflx"]
        transport.close()


async def test_where_only_relayed_addresses_count_the_socket_is_not_offered(
    coturn: Coturn, peer: trio.socket.SocketType
) -> None:
    async with relays(config_for(coturn, "udp")) as setup:
        [transport] = await setup.open(only_relayed=True)
        assert [one.kind for one in transport.candidates] == ["relay"]
        transport.close()


async def test_the_client_of_the_join_may_speak_first(coturn: Coturn, peer: trio.socket.SocketType) -> None:
    async with relays(config_for(coturn, "udp")) as setup:
        [transport] = await setup.open()
        await trio.sleep(0.05)
        relayed = transport.candidates[-1]
        await peer.sendto(CHECK, (relayed.host, relayed.port))
        await setup.inbox.wait()
        transport.close()


async def test_servers_of_a_client_are_used_if_they_may_be(
    coturn: Coturn, peer: trio.socket.SocketType
) -> None:
    named = [
        IceServer("turns:127.0.0.1:1?transport=udp", "ann", "pass"),
        IceServer("nonsense"),
        IceServer(coturn.url(), "ann", "pass"),
    ]
    for allowed, count in (("any", 1), ("public", 0)):
        config = parse_config(f'[ice]\nmode = "full"\n[relay]\nfrom_clients = "{allowed}"')
        async with relays(config) as setup:
            transports = await setup.open(connect(*named))
            assert len(transports) == count
            for transport in transports:
                await both_ways(setup, transport, peer)
                transport.close()


async def test_wrong_credentials_give_nothing_and_no_delay(coturn: Coturn) -> None:
    async with relays(config_for(coturn, "udp", "tcp", password="wrong")) as setup:
        with trio.fail_after(3):
            assert await setup.open() == []


async def test_a_server_that_does_not_answer_delays_one_join_only(coturn: Coturn) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        config = parse_config(
            f"""
            [ice]
            mode = "full"
            [relay]
            servers = ["turn:127.0.0.1:{silent.getsockname()[1]}", "{coturn.url()}"]
            username = "ann"
            password = "pass"
            wait_seconds = 0.5
            """
        )
        async with relays(config) as setup:
            [transport] = await setup.open()
            transport.close()
            assert len(setup.relays.servers_for(connect())) == 1
            [transport] = await setup.open()
            transport.close()


async def test_refused_connections_and_certificates_give_nothing(coturn: Coturn, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    config = parse_config(
        f"""
        [ice]
        mode = "full"
        [relay]
        servers = ["turn:127.0.0.1:{closed}?transport=tcp", "turn:127.0.0.1:{closed}", "{coturn.url("tls")}"]
        wait_seconds = 0.3
        """
    )
    async with relays(config) as setup:
        assert await setup.open() == []


async def test_a_name_that_no_host_can_have_gives_nothing() -> None:
    """Clients may name servers too."""
    config = parse_config(
        """
        [ice]
        mode = "full"
        [relay]
        servers = ["turn:a..b"]
        """
    )
    async with relays(config) as setup:
        assert await setup.open() == []


@pytest.mark.parametrize("link", ["tcp", "tls"])
async def test_when_the_server_goes_away_sending_fails(
    tmp_path: Path, peer: trio.socket.SocketType, link: str
) -> None:
    with running_coturn(tmp_path) as coturn:
        relays_open = relays(config_for(coturn, link))
        setup = await relays_open.__aenter__()
        [transport] = await setup.open()
    try:
        with trio.fail_after(5):
            await until(lambda: transport.failed)
        with pytest.raises(OSError, match="gone"):
            transport.ends[-1][0].send(CHECK, peer.getsockname())
        transport.close()
    finally:
        await relays_open.__aexit__(None, None, None)


async def test_a_join_that_is_cancelled_leaves_nothing(coturn: Coturn) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        servers = [f"turn:127.0.0.1:{silent.getsockname()[1]}", coturn.url()]
        config = parse_config(f'[ice]\nmode = "full"\n[relay]\nservers = {servers}')
        async with relays(config) as setup:
            with trio.move_on_after(0.2):
                await setup.open()


async def test_a_relay_that_reads_slowly_gets_a_bounded_queue_and_whole_messages() -> None:
    timers = TimerHeap()
    pump = Pump(timers, lambda error: None)
    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    listener.listen()
    link = await open_stream_link(listener.getsockname(), socket.AF_INET, None, "", pump, timers)
    server, _ = await listener.accept()
    sent = 0
    while not link.is_full:
        link.send(sent.to_bytes(4, "big") * 256)
        sent += 1
    assert len(link._unsent) < FULL + 2048
    while len(link._unsent) <= MAX_UNSENT:
        link.send(bytes(1024))
        sent += 1
    with pytest.raises(BlockingIOError):
        link.send(bytes(1024))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        received = bytearray()
        with trio.fail_after(10):
            while len(received) < sent * 1024:
                received += await server.recv(1 << 20)
        nursery.cancel_scope.cancel()
    assert [received[at : at + 4] for at in range(0, 100 * 1024, 1024)] == [
        n.to_bytes(4, "big") for n in range(100)
    ]
    assert not link.is_full
    link.close()
    server.close()
    listener.close()
    pump.close()
    with pytest.raises(OSError, match="closed"):
        link.send(b"")


async def test_the_packet_that_finds_the_connection_reset_is_not_taken_for_sent() -> None:
    timers = TimerHeap()
    pump = Pump(timers, lambda error: None)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        link = await open_stream_link(listener.getsockname(), socket.AF_INET, None, "", pump, timers)
        server, _ = listener.accept()
    closed: list[float] = []
    link.on_closed = closed.append
    link.send(MEDIA)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.close()
    with pytest.raises(ConnectionError):
        link.send(MEDIA)
    assert len(closed) == 1
    assert not link._unsent
    with pytest.raises(OSError, match="closed"):
        link.send(MEDIA)
    assert (pump.watched, timers.next_deadline) == (0, None)
    pump.close()


async def test_a_server_that_talks_nonsense_is_left() -> None:
    """A client may have named it, so it may be anybody."""
    listener = trio.socket.socket()
    await listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    left = trio.Event()

    async def serve() -> None:
        server, _ = await listener.accept()
        with server, suppress(OSError):
            while True:
                await server.send(b"\xff" * 65536)
        left.set()

    config = parse_config(
        f"""
        [ice]
        mode = "full"
        [relay]
        servers = ["turn:127.0.0.1:{port}?transport=tcp"]
        wait_seconds = 60.0
        """
    )
    async with relays(config) as setup, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        [url] = [server.url for server in setup.relays.servers_for(connect())]
        transport = await setup.relays._connect(RelayServer(url), 0)
        with trio.fail_after(5):
            await transport.gathered()
            await left.wait()
        assert transport.failed == TurnFailure("the stream is garbled")
        assert setup.pump.watched == 0
        assert sum(setup.relays._drops.counts.values()) == 1
        transport.close()
    listener.close()


async def test_the_socket_itself_outlives_the_allocation(
    coturn: Coturn, peer: trio.socket.SocketType
) -> None:
    """A call may be using it."""
    async with relays(config_for(coturn, "udp")) as setup:
        [transport] = await setup.open()
        transport._client.failed = TurnFailure("refused with code 437", 437)
        transport._timeout(trio.current_time())
        base, candidate = transport.ends[0]
        base.send(b"direct", peer.getsockname())
        assert await peer.recv(100) == b"direct"
        await peer.sendto(b"back", (candidate.host, candidate.port))
        await setup.inbox.wait()
        transport.close()


async def test_refreshes_are_taken_also_when_the_nonce_has_become_stale(
    tmp_path: Path, peer: trio.socket.SocketType
) -> None:
    with running_coturn(tmp_path, "--stale-nonce=1") as coturn:
        async with relays(config_for(coturn, "udp")) as setup:
            [transport] = await setup.open()
            await both_ways(setup, transport, peer)
            await trio.sleep(2.1)  # coturn's clock
            client = transport._client
            assert isinstance(client, TurnClient)
            now = trio.current_time()
            client._refresh_at = client._permissions["127.0.0.1"].refresh_at = now
            client._channels[peer.getsockname()].refresh_at = now
            transport._timeout(now)
            with trio.fail_after(5):
                await until(lambda: not client._requests)
            await both_ways(setup, transport, peer)
            transport.close()
        log = coturn.log_text
    assert "438" in log
    for method, times in (("REFRESH", 1), ("CREATE_PERMISSION", 2), ("CHANNEL_BIND", 2)):
        assert log.count(f"{method} processed, success") >= times


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ('[relay]\nservers = ["turn:a"]', "ice.mode: must be 'full'"),
        ('[relay]\nfrom_clients = "any"', "ice.mode: must be 'full'"),
        ('[ice]\nmode = "full"\ncandidates = "relay"', "without \\[relay\\]"),
        ('[relay]\nservers = ["http://a"]', "relay.servers: must list STUN and TURN servers"),
        ('[relay]\nservers = ["stuns:a"]', "only turn, turns over TCP, and stun over UDP"),
        ('[relay]\nservers = ["turn:a:99999"]', "no such port"),
        ('[turn]\nservers = ["turn:a"]', "secret_file"),
    ],
)
def test_what_cannot_work_is_told_at_the_start(toml: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        parse_config(toml)


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_text(" \n")])
def test_a_secret_that_cannot_be_read_is_told(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "secret")
    config = parse_config(
        f'[ice]\nmode = "full"\n[relay]\nservers = ["turn:a"]\nsecret_file = "{tmp_path / "secret"}"'
    )
    with pytest.raises(ConfigError, match=r"relay\.secret_file"):
        Relays(config, Pump(TimerHeap(), lambda error: None), TimerHeap(), Drops())
