"""The way in in C and the one in Python are compared (both_ways.py): cases, and what Hypothesis finds."""

from __future__ import annotations

import gc
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sft_engine_native", reason="*** the native engine is not compiled ***")

from both_ways import AUDIO, CHECK, FOLLOWING, HIGH, KEYFRAME, KEYS, LOW, RTX, UNKNOWN, Worlds, waits

from sft.model import Drop
from sft_engine_native._way_in import Reader
from sft_transport_udp.base import UdpBase


@pytest.fixture
def worlds() -> Iterator[Worlds]:
    with Worlds() as both:
        both.join()
        yield both


CHROME = b"\x31\0\0", b"\x31\0\0\x22abc", b"\x22abc\x31\0\0", b"\x22abc", b"", b"\x30\5", b"\x21ab"
"""Transport-wide number, absolute send time, both, one, none; both of a wrong size."""

ssrcs = st.sampled_from([AUDIO, HIGH, LOW, HIGH, LOW, RTX, UNKNOWN])
steps = st.sampled_from([1] * 12 + [0, -1, 2, 3, -3, 20, -1500, 4000, 33_000])
elements = st.one_of(
    st.sampled_from(CHROME),
    st.builds(
        lambda sent, frame, rid: sent + frame + rid,
        st.sampled_from(CHROME),
        st.sampled_from([KEYFRAME, FOLLOWING, b"\xb2\x80\0\0"]),
        st.sampled_from(
            [
                b"",
                b"",
                b"\x30\0",
                b"\x02abc\x31\0\1",
                b"\xf0\0",
                b"\0\0",
                b"\x22",
                b"\x40h",
                b"\x40l",
                b"\x41hh",
                b"\x50h",
            ]
        ),
    ),
    st.binary(max_size=24),
)
packets = st.builds(
    lambda ssrc, step, **changes: ("packet", ssrc, step, changes),
    ssrcs,
    steps,
    level=st.none() | st.integers(0, 255),
    elements=elements,
    profile=st.sampled_from([0xBEDE] * 8 + [0x1000, 0x1234]),
    payload=st.sampled_from([b"payload"] * 5 + [b"", b"\0\1x", bytes(1200), bytes(1300)]),
    padding=st.sampled_from([0] * 6 + [1, 7]),
    csrcs=st.sampled_from([0] * 5 + [2]),
)
in_order = st.builds(
    lambda ssrc, level: (
        "packet",
        ssrc,
        1,
        {"elements": b"\x22abc", "level": level}
        if ssrc == AUDIO
        else {"elements": b"\x31\0\0\x22abc" + FOLLOWING},
    ),
    st.sampled_from([AUDIO, HIGH, LOW]),
    st.integers(0, 127),
)
others = st.sampled_from(
    [
        ("replay",),
        ("broken",),
        ("strange",),
        ("strange check",),
        ("garbage", b""),
        ("garbage", b"\x80"),
        ("garbage", b"\x80\xc8"),
        ("garbage", bytes(2100)),
        ("garbage", b"\x80\x64" + bytes(1600)),
        ("garbage", CHECK),
        ("report",),
        ("goodbye",),
        ("tick", 0.005),
        ("tick", 0.1),
        ("tick", 1.2),
        ("first",),
        ("watch", 0, 1),
        ("watch", 0, 2),
        ("watch", 1, 2),
        ("watch", 2, 1),
        ("read",),
        ("read",),
    ]
)
scripts = st.lists(st.one_of(in_order, in_order, packets, others), max_size=60)


def play(both: Worlds, script: list[tuple]) -> None:
    for what, *details in script:
        match what:
            case "packet":
                ssrc, step, changes = details
                both.send_packet(ssrc, step, **changes)
            case "replay":
                both.send(both.last)
            case "broken":
                whole = both.protect(both.packet(HIGH))
                both.send(whole[:-1] + bytes((whole[-1] ^ 1,)))
            case "strange":
                both.send(both.protect(both.packet(LOW)), strange=True)
            case "strange check":
                both.send(CHECK, strange=True)
            case "garbage":
                both.send(*details)
            case "report":
                both.send(
                    both.session.protect_rtcp(struct.pack("!BBHIQIII", 0x80, 200, 6, HIGH, 1 << 60, 9, 9, 9))
                )
            case "goodbye":
                both.send(both.session.protect_rtcp(struct.pack("!BBHI", 0x81, 203, 1, HIGH)))
            case "tick":
                both.read()
                both.tick(*details)
            case "first":
                both.read()
                for world in both.worlds:
                    world.table.set_first(world.sender)
            case "watch":
                receiver, quality = details
                both.read()
                for world in both.worlds:
                    streams = [(world.sender, quality)]
                    world.table.set_streams(world.endpoints[1 + receiver], streams, both.now)
            case "read":
                both.now += 0.0013
                both.read()
    both.read()


@given(script=scripts)
@settings(max_examples=300, deadline=None)  # sockets of a crowded machine are slow now and then
def test_whatever_comes_both_do_the_same(script: list[tuple]) -> None:
    with Worlds() as both:
        both.join()
        both.introduce()
        play(both, script)
        both.compare()


def test_long_runs_of_packets_in_order_are_the_same_across_wraps(worlds: Worlds) -> None:
    for number in range(3000):
        worlds.send_packet(AUDIO, level=127 if number > 300 else 20)
        worlds.send_packet(HIGH, elements=b"\x31\0\0" + (FOLLOWING if number else KEYFRAME + b"\x40h"))
        if number % 5 == 0:
            worlds.now += 0.02
            worlds.read()
            worlds.tick(0.0)
    worlds.read()
    worlds.compare()


BLOCKS = [
    b"\x30\5",
    b"\x31ab\x30\5",
    b"\x20a",
    b"\x21ab",
    b"\x22abc\x20a",
    b"\x22abc\x22def",
    b"\x31ab\x22abc\x31cd",
    b"\x02abc\x31\0\1",
    b"\x22abc\xf0\0\x31ab",
    b"\0\0\x22abc\0",
    b"\x22a",
    b"\x9fabcdefghijklmnop",
]
"""Elements of wrong sizes, twice, behind the end, between padding, cut off, and unknown."""


@pytest.mark.parametrize("block", BLOCKS, ids=bytes.hex)
def test_any_block_of_extensions_is_read_alike(worlds: Worlds, block: bytes) -> None:
    worlds.send_packet(HIGH, elements=b"\x31\0\0" + KEYFRAME + b"\x40h")
    worlds.send_packet(AUDIO, level=20)
    for number in range(4):
        worlds.send_packet(HIGH, elements=block)
        worlds.send_packet(AUDIO, level=20, elements=block)
        worlds.now += 0.001 * number
        worlds.read()
    worlds.compare()


def test_media_of_a_stranger_is_taken_up_to_the_limit(worlds: Worlds) -> None:
    for _ in range(600):
        worlds.send(worlds.protect(worlds.packet(HIGH)), strange=True)
        worlds.read()
    worlds.compare()
    assert worlds.worlds[1].drops.counts[Drop.STRANGER] == 100


def test_before_there_are_keys_or_a_call_packets_are_counted() -> None:
    with Worlds() as both:
        both.send(CHECK)
        both.read()
        both.send_packet(AUDIO)
        both.read()
        for world in both.worlds:
            world.sender.open(KEYS, both.now)
        both.send_packet(AUDIO)
        both.read()
        for world in both.worlds:
            world.sender.close()
        both.send_packet(AUDIO)
        both.read()
        both.compare()


def test_what_is_read_after_the_socket_was_closed_by_it_is_forgotten(worlds: Worlds) -> None:
    def close(base: UdpBase, data: bytes, address: object, now: float) -> bool:
        base.close()
        return True

    for world in worlds.worlds:
        world.sender.control = close
    worlds.send(CHECK)
    worlds.send_packet(AUDIO)
    for world in worlds.worlds:
        world.on_readable(worlds.now)
        assert world.sender.packets == 0


def test_faults_of_python_code_come_out_and_cost_no_other_packet(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is raised, of others that were read with it Python is told."""

    def fail(base: UdpBase, data: bytes, address: object, now: float) -> bool:
        raise RuntimeError(data.decode())

    others: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda told: others.append(told.exc_value))
    native = worlds.worlds[1]
    native.sender.control = fail
    for check in (b"\0first", b"\0second"):
        worlds.send_packet(AUDIO)
        worlds.send(check)
    worlds.send_packet(AUDIO)
    with pytest.raises(RuntimeError, match="first"):
        native.on_readable(worlds.now)
    assert native.sender.packets == 3
    assert [str(error) for error in others] == ["\0second"]
    worlds.send_packet(AUDIO)
    native.read(worlds.now)
    assert native.sender.packets == 4


def test_the_waiter_comes_back_when_a_transport_was_given_a_packet(worlds: Worlds) -> None:
    """Its ``send`` is Python code; were it not for that, the loop would be waited for and seen."""
    worlds.send_packet(HIGH, elements=b"\x31\0\0" + KEYFRAME + b"\x40h")
    worlds.read()
    native = worlds.worlds[1]
    loop, waker = socket.socketpair()
    loop.setblocking(False)
    native.sockets += loop, waker
    native.stream.send = lambda data, address: waker.send(b"!")
    native.endpoints[3].set_path(native.stream, ("192.0.2.9", 0))
    fd = native.base.fd
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN)
        wait = native.engine.waiter(
            epoll.fileno(), loop.fileno(), {fd: native.on_readable}, time.monotonic, lambda error: None
        )
        worlds.send_packet(HIGH, elements=b"\x31\0\0" + FOLLOWING)
        assert wait(60.0) is False
        assert waits(loop)


def test_nothing_is_kept_and_nothing_lost_of_what_it_touches(worlds: Worlds) -> None:
    """References: as many of the shared objects after 20,000 packets as before, and none of the rest."""
    native = worlds.worlds[1]
    shared = [native.sender, native.base, native.engine, native.table, None, True, False]

    def run(count: int) -> None:
        for number in range(count):
            packet = worlds.packet(AUDIO, level=127 if number % 100 > 50 else 20)
            native.send(worlds.protect(packet))
            packet = worlds.packet(
                HIGH, elements=b"\x31\0\0" + (FOLLOWING if number % 50 else KEYFRAME + b"\x40h")
            )
            native.send(worlds.protect(packet))
            worlds.now += 0.02
            native.read(worlds.now)
            native.table.tick(worlds.now)
            for datagrams in native.got.values():
                datagrams.clear()
            native.stream.sent.clear()
            native.wakes.clear()

    run(3000)  # rings and lists are full
    gc.collect()
    before, blocks = [sys.getrefcount(one) for one in shared], sys.getallocatedblocks()
    run(10_000)
    gc.collect()
    after = [sys.getrefcount(one) for one in shared]
    assert [new - old for new, old in zip(after, before, strict=True)] == pytest.approx([0] * 7, abs=20)
    assert abs(sys.getallocatedblocks() - blocks) < 2500  # the list of dropped numbers has 1024 to 2048


def test_a_reader_is_collected_with_what_it_reads_for() -> None:
    def live() -> None:
        with Worlds() as both:
            both.join()
            both.send_packet(AUDIO)
            both.read()

    live()
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, Reader)]
