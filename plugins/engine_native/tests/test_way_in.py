"""The way in in C and the one in Python are compared: a call with each, real sockets, the same datagrams;
then all that either knows and has sent must be the same."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import random
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pylibsrtp import Error, Policy, Session

pytest.importorskip("sft_engine_native", reason="*** the native engine is not compiled ***")

from sft.forwarding.endpoint import Endpoint
from sft.forwarding.engine import PythonEngine
from sft.forwarding.loop import receive
from sft.forwarding.source import Source
from sft.forwarding.table import Table
from sft.model import Drop, Drops, ParticipantId, SrtpParameters
from sft.plugin import Engine
from sft_engine_native import NativeEngine
from sft_engine_native._way_in import Reader
from sft_transport_udp.base import UdpBase

FUZZ = Path(__file__).parents[3] / "tests/fuzz/runner.py"
spec = importlib.util.spec_from_file_location("fuzz_runner", FUZZ)
assert spec is not None
assert spec.loader is not None
fuzz_runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fuzz_runner)
fuzz_rtp = fuzz_runner.load("rtp")

KEY = bytes(range(28))
KEYS = SrtpParameters("SRTP_AEAD_AES_128_GCM", inbound=KEY, outbound=KEY)
AUDIO, HIGH, LOW, RTX, UNKNOWN = 0xA0A0, 0x1111, 0x2222, 0x3333, 0x4444
LOCALHOST = "127.0.0.1"
CHECK = b"\0\1 an authenticated check"


class StreamBase:
    """A base without a descriptor, as of TCP."""

    fd = None

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes, address: object) -> None:
        self.sent.append(bytes(data))


class Watcher:
    """The transport's services, as far as it takes."""

    def watch(self, fd: int, on_readable: Callable[[float], None]) -> None:
        self.on_readable = on_readable


class World:
    """A sender, and three who receive it: two on sockets, one by a stream."""

    def __init__(self, make_engine: Callable[[Drops], Engine]) -> None:
        self.randomness = random.Random(5)
        self.drops = Drops()
        self.engine = make_engine(self.drops)
        self.wakes: list[float] = []
        self.table = Table(self.randomness.randbytes, lambda now: now + 1.8e9, self.wakes.append)
        self.sockets: list[socket.socket] = []
        self.client, self.stranger, server = self.udp(), self.udp(), self.udp()
        self.far = [self.udp(), self.udp()]
        self.got: dict[socket.socket, list[bytes]] = {one: [] for one in (*self.far, self.client)}
        self.stream = StreamBase()
        self.endpoints = [self.endpoint(name) for name in "abcd"]
        self.sender = self.endpoints[0]
        make_receive = getattr(self.engine, "receiver", None) or (lambda one: partial(receive, one))
        self.base = UdpBase(server, make_receive(self.sender), self.drops)
        watcher = Watcher()
        self.base.watch(watcher)
        self.on_readable = watcher.on_readable
        self.sender.control = lambda base, data, address, now: data == CHECK
        for number, (endpoint, far) in enumerate(zip(self.endpoints[1:], [*self.far, None], strict=True)):
            if far is None:
                endpoint.set_path(self.stream, ("192.0.2.9", number))
            else:
                endpoint.set_path(
                    UdpBase(self.udp(), partial(receive, endpoint), self.drops, segments=True),
                    far.getsockname(),
                )
        self.sender.set_path(self.base, self.client.getsockname())

    def udp(self) -> socket.socket:
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind((LOCALHOST, 0))
        bound.setblocking(False)
        self.sockets.append(bound)
        return bound

    def endpoint(self, name: str) -> Endpoint:
        audio_slots = 1 if name == "d" else 5  # the only slot is the first participant's: others lack one
        endpoint = Endpoint(
            ParticipantId(name, "_"), 7, audio_slots, 9, self.engine, self.drops, self.randomness.randbytes
        )
        endpoint.set_answer(AUDIO, (HIGH,), audio_nack=True, video_nack=True)
        return endpoint

    def join(self, now: float) -> None:
        """All are there, and see and hear the sender."""
        for endpoint in self.endpoints:
            self.table.add(endpoint, now)
            endpoint.open(KEYS, now)
        everybody = frozenset(self.endpoints)
        for endpoint in self.endpoints:
            self.table.set_allowed(endpoint, everybody - {endpoint}, everybody - {endpoint}, now)
        for number, endpoint in enumerate(self.endpoints[1:]):
            self.table.set_streams(endpoint, [(self.sender, 1 + number % 2)], now)

    def send(self, datagram: bytes, *, strange: bool = False) -> None:
        (self.stranger if strange else self.client).sendto(datagram, ("127.0.0.1", self.port))

    @property
    def port(self) -> int:
        return self.sockets[2].getsockname()[1]

    def read(self, now: float) -> None:
        """Until nothing is left, as the pump does."""
        while not self.base.closed and waits(self.sockets[2]):
            self.on_readable(now)
        for one, datagrams in self.got.items():
            datagrams += drain(one)

    def close(self) -> None:
        for one in self.sockets:
            one.close()

    def state(self) -> dict[str, object]:
        """All that the way in changes."""
        sender = self.sender
        return {
            "drops": {reason: count for reason, count in self.drops.counts.items() if count},
            "counts": (sender.packets, sender.octets, sender.last_alive, sender.last_rtcp),
            "pending": list(sender.transport.pending),
            "sources": {ssrc: source_state(source) for ssrc, source in sender.sources.items()},
            "wakes": self.wakes,
            "received": [split(self.got[far]) for far in self.far],
            "streamed": split(self.stream.sent),
            "asked": split(self.got[self.client]),
        }


def source_state(source: Source) -> dict[str, object]:
    plain = {name: getattr(source, name) for name in Source.__slots__}
    for name in ("endpoint", "route", "lacking", "slots", "waiting", "meter", "gaps", "numbering"):
        del plain[name]
    numbering = source.numbering
    plain["numbering"] = {name: getattr(numbering, name) for name in type(numbering).__slots__}
    plain["gaps"] = {name: getattr(source.gaps, name) for name in type(source.gaps).__slots__}
    plain["slots"] = [slot.mid for slot in source.slots]
    plain["lacking"] = len(source.lacking)
    return plain


def drain(bound: socket.socket) -> list[bytes]:
    found = []
    while waits(bound):
        found.append(bound.recv(3000))
    return found


def waits(bound: socket.socket) -> bool:
    try:
        bound.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return False
    return True


def split(datagrams: list[bytes]) -> tuple[list[bytes], list[bytes]]:
    """RTP and RTCP: the order within each is the same, not that of one to the other."""
    is_rtcp = [192 <= datagram[1] <= 223 for datagram in datagrams]
    rtp = [datagram for datagram, other in zip(datagrams, is_rtcp, strict=True) if not other]
    return rtp, [datagram for datagram, other in zip(datagrams, is_rtcp, strict=True) if other]


class Worlds:
    """Both, and the client that sends the same to both."""

    def __init__(self) -> None:
        self.worlds = World(PythonEngine), World(NativeEngine)
        policy = Policy(KEY, Policy.SSRC_ANY_OUTBOUND, 0, Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
        policy.allow_repeat_tx = True
        policy.window_size = 1024
        self.session = Session(policy)
        self.now = 1000.0
        self.numbers: dict[int, int] = {}
        self.transport = 65_500
        self.last = b""

    def __enter__(self) -> Worlds:
        return self

    def __exit__(self, *args: object) -> None:
        for world in self.worlds:
            world.close()

    def join(self) -> None:
        for world in self.worlds:
            world.join(self.now)
        self.send(CHECK)
        self.read()

    def send(self, datagram: bytes, *, strange: bool = False) -> None:
        self.last = datagram
        for world in self.worlds:
            world.send(datagram, strange=strange)

    def read(self) -> None:
        for world in self.worlds:
            world.read(self.now)

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for world in self.worlds:
            world.table.tick(self.now)

    def compare(self) -> None:
        python, native = (world.state() for world in self.worlds)
        for name, value in python.items():
            assert native[name] == value, name

    def packet(
        self,
        ssrc: int,
        step: int = 1,
        *,
        level: int | None = None,
        elements: bytes = b"",
        profile: int = 0xBEDE,
        payload: bytes = b"payload",
        padding: int = 0,
        csrcs: int = 0,
    ) -> bytes:
        number = self.numbers[ssrc] = self.numbers.get(ssrc, 65_530) + step
        if level is not None:
            elements = bytes((0x10, level)) + elements
        if 0x31 in elements[:1]:
            self.transport += 1
            elements = b"\x31" + struct.pack("!H", self.transport & 0xFFFF) + elements[3:]
        elements += bytes(-len(elements) % 4)
        first = 0x80 | (0x10 if elements else 0) | (0x20 if padding else 0) | csrcs
        kind = 111 if ssrc == AUDIO else 101 if ssrc == RTX else 100
        header = struct.pack("!BBHII", first, kind, number & 0xFFFF, number * 960 & 0xFFFFFFFF, ssrc)
        block = struct.pack("!HH", profile, len(elements) // 4) + elements if elements else b""
        tail = bytes(padding - 1) + bytes((padding,)) if padding else b""
        return header + bytes(4 * csrcs) + block + payload + tail

    def send_packet(self, ssrc: int, step: int = 1, **changes: object) -> None:
        self.send(self.protect(self.packet(ssrc, step, **changes)))

    def protect(self, packet: bytes) -> bytes:
        try:
            return self.session.protect(packet)
        except Error:  # libsrtp sends nothing that is so old
            return packet


@pytest.fixture
def worlds() -> Iterator[Worlds]:
    with Worlds() as both:
        both.join()
        yield both


KEYFRAME, FOLLOWING = b"\xb0\x80", b"\xb0\x08"
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
        for ssrc, rid in ((AUDIO, b""), (HIGH, b"h"), (LOW, b"l")):
            name = KEYFRAME + b"\x40" + rid if rid else b""
            both.send_packet(ssrc, 1, elements=b"\x31\0\0" + name)
        both.read()
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


def fuzz(both: Worlds, mutants: Iterable[bytes]) -> None:
    """Each as it is, as if it came from the network, and protected, as if from an authenticated client."""
    both.join()
    for mutant in mutants:
        both.now += 0.003
        both.send(mutant[:2000])
        both.send(both.protect(mutant[:1200]) if len(mutant) > 11 else mutant)
        both.read()
    both.compare()


def test_mutants_of_packets_do_the_same_to_both() -> None:
    mutants = fuzz_runner.mutations(fuzz_rtp.seeds(), 5_000, seed=3)
    while some := list(itertools.islice(mutants, 500)):
        with Worlds() as both:
            fuzz(both, some)


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
