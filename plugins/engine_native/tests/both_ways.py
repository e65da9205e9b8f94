"""A call with the way in in C and the same with the one in Python: real sockets, the same datagrams; then all
that either knows and has sent must be the same."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable
from functools import partial

from pylibsrtp import Error, Policy, Session

from sft.forwarding.endpoint import Endpoint
from sft.forwarding.engine import PythonEngine
from sft.forwarding.loop import receive
from sft.forwarding.source import Source
from sft.forwarding.table import Table
from sft.model import Drops, ParticipantId, SrtpParameters
from sft.plugin import Engine
from sft_engine_native import NativeEngine
from sft_transport_udp.base import UdpBase

KEY = bytes(range(28))
KEYS = SrtpParameters("SRTP_AEAD_AES_128_GCM", inbound=KEY, outbound=KEY)
AUDIO, HIGH, LOW, RTX, UNKNOWN = 0xA0A0, 0x1111, 0x2222, 0x3333, 0x4444
LOCALHOST = "127.0.0.1"
CHECK = b"\0\1 an authenticated check"
KEYFRAME, FOLLOWING = b"\xb0\x80", b"\xb0\x08"
"""Frame descriptors, as extension elements."""


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

    def unwatch(self, fd: int) -> None:
        del self.on_readable


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

    def introduce(self) -> None:
        """The first packet of each of the sender's sources."""
        for ssrc, rid in ((AUDIO, b""), (HIGH, b"h"), (LOW, b"l")):
            name = KEYFRAME + b"\x40" + rid if rid else b""
            self.send_packet(ssrc, 1, elements=b"\x31\0\0" + name)
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

    def forget(self) -> None:
        """What was sent, after it was compared."""
        for world in self.worlds:
            for datagrams in (*world.got.values(), world.stream.sent, world.wakes):
                datagrams.clear()

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
