"""What only the native engine does: it sends by itself. That it sends what other engines send is in
tests/forwarding/test_engine.py."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import pytest
from pylibsrtp import Policy, Session

pytest.importorskip("sft_engine_native", reason="*** the native engine is not compiled ***")

from sft.forwarding.engine import PythonEngine
from sft.model import Drop, Drops, SrtpParameters
from sft_engine_native.engine import NativeEngine, socket_address

KEY = bytes(range(28))
KEYS = SrtpParameters("SRTP_AEAD_AES_128_GCM", inbound=KEY, outbound=KEY)
PACKET = bytes.fromhex("80640001000003e800000005") + b"payload"


class SocketBase:
    segments = True

    def __init__(self, bound: socket.socket) -> None:
        self.fd = bound.fileno()

    def send(self, data: bytes, address) -> None:
        raise AssertionError("it has a descriptor")


def udp(host: str = "127.0.0.1") -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind((host, 0))
    bound.settimeout(5)
    return bound


@pytest.fixture
def ours() -> Iterator[socket.socket]:
    with udp() as bound:
        bound.setblocking(False)
        yield bound


@pytest.fixture
def theirs() -> Iterator[socket.socket]:
    with udp() as bound:
        yield bound


@pytest.fixture
def drops() -> Drops:
    return Drops()


def counted(drops: Drops) -> dict[Drop, int]:
    return {reason: count for reason, count in drops.counts.items() if count}


def inbound() -> Session:
    return Session(
        Policy(key=KEY, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
    )


def unprotect(data: bytes) -> bytes:
    return inbound().unprotect(data)


def test_a_receiver_gets_the_rewritten_packet_on_its_socket(
    ours: socket.socket, theirs: socket.socket, drops: Drops
) -> None:
    engine = NativeEngine(drops)
    outlet = engine.open_outlet(KEYS)
    outlet.set_path(SocketBase(ours), theirs.getsockname())
    slot = outlet.open_slot(0x1234)
    slot.attach(7, 0xFFFFFFFF)
    engine.fan_out(engine.make_route([slot], 0xC0FFEE), PACKET, 1)
    assert unprotect(theirs.recv(2000)) == (bytes.fromhex("81640008000003e7 00001234 00c0ffee") + b"payload")
    assert counted(drops) == {}


def test_ipv6_and_a_new_path(drops: Drops) -> None:
    with udp("::1") as ours, udp("::1") as theirs, udp("::1") as new:
        engine = NativeEngine(drops)
        outlet = engine.open_outlet(KEYS)
        slot = outlet.open_slot(1)
        route = engine.make_route([slot], 2)
        for receiver in (theirs, new):
            outlet.set_path(SocketBase(ours), receiver.getsockname())
            engine.fan_out(route, PACKET, 1)
            assert unprotect(receiver.recv(2000)).endswith(b"payload")
    assert counted(drops) == {}


def test_more_receivers_on_one_socket_than_a_batch_takes_all_get_theirs(
    ours: socket.socket, theirs: socket.socket, drops: Drops
) -> None:
    engine = NativeEngine(drops)
    slots = []
    for ssrc in range(100):
        outlet = engine.open_outlet(KEYS)
        outlet.set_path(SocketBase(ours), theirs.getsockname())
        slots.append(outlet.open_slot(ssrc))
    engine.fan_out(engine.make_route(slots, 2), PACKET, 1)
    got = [int.from_bytes(unprotect(theirs.recv(2000))[8:12], "big") for _ in slots]
    assert got == list(range(100))
    assert counted(drops) == {}


def test_receivers_with_and_without_a_descriptor_in_one_route(
    ours: socket.socket, theirs: socket.socket, drops: Drops
) -> None:
    sent: list = []

    class Stream:
        fd = None

        def send(self, data: bytes, address) -> None:
            sent.append((unprotect(data)[8:12], address))

    engine = NativeEngine(drops)
    slots = []
    for ssrc in range(6):
        outlet = engine.open_outlet(KEYS)
        if ssrc % 2:
            outlet.set_path(Stream(), ("192.0.2.1", ssrc))
        else:
            outlet.set_path(SocketBase(ours), theirs.getsockname())
        slots.append(outlet.open_slot(ssrc))
    engine.fan_out(engine.make_route(slots, 2), PACKET, 1)
    assert [unprotect(theirs.recv(2000))[11] for _ in range(3)] == [0, 2, 4]
    assert sent == [(bytes((0, 0, 0, ssrc)), ("192.0.2.1", ssrc)) for ssrc in (1, 3, 5)]


def test_a_socket_that_takes_no_more_is_counted_as_blocked_and_one_that_fails_as_failed(drops: Drops) -> None:
    engine = NativeEngine(drops)
    outlet = engine.open_outlet(KEYS)
    slot = outlet.open_slot(1)
    route = engine.make_route([slot], 2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as full:
            full.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    full.send(bytes(100_000))
            outlet.set_path(SocketBase(full), server.getsockname())
            engine.fan_out(route, PACKET, 1)
            assert counted(drops) == {Drop.SEND_BLOCKED: 1}
            base = SocketBase(full)
        outlet.set_path(base, ("127.0.0.1", 9))  # a descriptor that is closed
        engine.fan_out(route, PACKET, 2)
        engine.repeat(slot, PACKET, 2, 2, 1000)
    assert counted(drops) == {Drop.SEND_BLOCKED: 1, Drop.SEND_FAILED: 2}


@pytest.mark.parametrize(
    "sizes",
    [[100] * 5, [100, 100, 60], [60, 100, 100], [100, 60, 100, 101, 99], [1200] * 40, [10]],
    ids=["alike", "a shorter last", "longer", "mixed", "more than may wait", "one"],
)
def test_packets_of_a_turn_leave_together_as_they_came(
    sizes: list[int], ours: socket.socket, theirs: socket.socket, drops: Drops
) -> None:
    engine = NativeEngine(drops)
    engine.hold()
    outlet = engine.open_outlet(KEYS)
    outlet.set_path(SocketBase(ours), theirs.getsockname())
    slot = outlet.open_slot(1)
    route = engine.make_route([slot], 2)
    for number, size in enumerate(sizes):
        engine.fan_out(route, PACKET[:12] + bytes((number,)) * size, number)
    engine.flush()
    session = inbound()
    got = [session.unprotect(theirs.recv(2000)) for _ in sizes]
    assert [packet[16:] for packet in got] == [bytes((n,)) * size for n, size in enumerate(sizes)]
    assert counted(drops) == {}


def test_what_waits_leaves_by_the_path_of_its_time(
    ours: socket.socket, theirs: socket.socket, drops: Drops
) -> None:
    engine = NativeEngine(drops)
    engine.hold()
    first, second = engine.open_outlet(KEYS), engine.open_outlet(KEYS)
    with udp() as new:
        for outlet in (first, second):
            outlet.set_path(SocketBase(ours), theirs.getsockname())
        route = engine.make_route([first.open_slot(1), second.open_slot(2)], 3)
        engine.fan_out(route, PACKET, 1)
        second.set_path(SocketBase(ours), new.getsockname())
        engine.fan_out(route, PACKET, 2)
        engine.flush()
        assert [theirs.recv(2000)[11] for _ in range(3)] == [2, 1, 1]
        assert new.recv(2000)[11] == 2
    assert counted(drops) == {}


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_what_waits_for_a_receiver_that_leaves_is_forgotten(
    closed: int, ours: socket.socket, theirs: socket.socket, drops: Drops
) -> None:
    engine = NativeEngine(drops)
    engine.hold()
    outlets = [engine.open_outlet(KEYS) for _ in range(3)]
    for outlet in outlets:
        outlet.set_path(SocketBase(ours), theirs.getsockname())
    slots = [outlet.open_slot(number) for number, outlet in enumerate(outlets)]
    engine.fan_out(engine.make_route(slots, 3), PACKET, 1)
    outlets.pop(closed).close()
    slots.pop(closed)
    engine.fan_out(engine.make_route(slots, 3), PACKET, 2)
    engine.flush()
    left = [number for number in range(3) if number != closed]
    assert [theirs.recv(2000)[11] for _ in range(4)] == [left[0], left[0], left[1], left[1]]
    assert counted(drops) == {}


def test_nothing_waits_where_segments_are_not_wanted(
    ours: socket.socket, theirs: socket.socket, drops: Drops
) -> None:
    class Plain(SocketBase):
        segments = False

    engine = NativeEngine(drops)
    engine.hold()
    outlet = engine.open_outlet(KEYS)
    slot = outlet.open_slot(1)
    route = engine.make_route([slot], 2)
    theirs.setblocking(False)
    outlet.set_path(SocketBase(ours), theirs.getsockname())
    engine.fan_out(route, PACKET, 1)
    with pytest.raises(BlockingIOError):
        theirs.recv(2000)
    outlet.set_path(Plain(ours), theirs.getsockname())
    engine.fan_out(route, PACKET, 2)
    engine.repeat(slot, PACKET, 2, 1, 1000)
    assert [theirs.recv(2000)[3] for _ in range(3)] == [1, 2, 1]


def test_reports_do_not_overtake_packets_that_wait(
    ours: socket.socket, theirs: socket.socket, drops: Drops
) -> None:
    base = SocketBase(ours)
    base.send = ours.sendto
    engine = NativeEngine(drops)
    engine.hold()
    outlet = engine.open_outlet(KEYS)
    outlet.set_path(base, theirs.getsockname())
    engine.fan_out(engine.make_route([outlet.open_slot(1)], 2), PACKET, 1)
    outlet.send_rtcp(bytes.fromhex("80c9000100000001"))
    assert [theirs.recv(2000)[1] for _ in range(2)] == [PACKET[1], 0xC9]


def test_a_way_out_that_takes_no_segments_gets_the_packets_one_by_one(drops: Drops) -> None:
    engine = NativeEngine(drops)
    engine.hold()
    outlet = engine.open_outlet(KEYS)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        outlet.set_path(SocketBase(other), ("127.0.0.1", 9))  # which takes no such address either
        route = engine.make_route([outlet.open_slot(1)], 2)
        for number in range(3):
            engine.fan_out(route, PACKET, number)
        engine.flush()
    assert counted(drops) == {Drop.SEND_FAILED: 3}


@pytest.mark.parametrize("packet", [b"", b"\x80", PACKET[:11], b"\x8f" + PACKET[1:], b"\x90" + PACKET[1:12]])
def test_what_is_no_rtp_packet_is_refused(packet: bytes, drops: Drops) -> None:
    engine = NativeEngine(drops)
    slot = engine.open_outlet(KEYS).open_slot(1)
    engine.fan_out(engine.make_route([slot], 2), packet, 1)
    engine.repeat(slot, packet, 2, 1, 1)
    assert counted(drops) == {Drop.SEND_FAILED: 2}


def test_slots_of_another_engine_are_refused(drops: Drops) -> None:
    foreign = PythonEngine(drops).open_outlet(KEYS).open_slot(1)
    engine = NativeEngine(drops)
    with pytest.raises(TypeError, match="another engine"):
        engine.make_route([foreign], 2)
    with pytest.raises(TypeError, match="another engine"):
        engine.repeat(foreign, PACKET, 2, 1, 1)


@pytest.mark.parametrize("host", ["example.com", "", "::1::"])
def test_what_is_no_address_is_left_to_the_transport(host: str) -> None:
    assert socket_address((host, 5)) is None
