"""What benchmarks share: a call's shape, and a process that sends its SRTP and reads away what returns."""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.synchronize
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import attrs
from pylibsrtp import Policy, Session
from verdicts import spoilt

from sft_load.meter import Meter
from sft_load.packets import AUDIO_BYTES, LOUD, SILENT

KEY = bytes(range(28))
"""AES-128-GCM master key and salt, the same for everybody, both ways: a benchmark has no secrets."""

FIRST_SSRC = 0x5EED0000
"""Of the first stream of a shape; the others follow."""

VIDEO_BYTES = 1100
"""A plain packet."""

_HEADER = struct.Struct("!BBHIIHH")
_AUDIO_EXTENSIONS = struct.Struct("!BBB3s")
_VIDEO_EXTENSIONS = struct.Struct("!B3sBHBBH")

BATCH = 64
PACE_SECONDS = 0.005
"""The far side sends in bursts this far apart, as WebRTC's pacer does."""


@attrs.frozen
class Stream:
    """What one participant sends, and to whom it goes."""

    sender: int
    rate: int
    size: int
    receivers: tuple[int, ...]
    level: int | None = None
    """Audio: how loud. Video has none."""
    layer: str = ""
    """Video: which one of several."""


@attrs.frozen
class Shape:
    """A call: the same for the floors, the bare packet path and the server."""

    name: str
    participants: int
    streams: tuple[Stream, ...]

    @property
    def packets_in(self) -> int:
        """Per second."""
        return sum(stream.rate for stream in self.streams)

    @property
    def packets_out(self) -> int:
        return sum(stream.rate * len(stream.receivers) for stream in self.streams)

    def scaled(self, factor: float) -> Shape:
        """The same call, faster or slower."""
        streams = (attrs.evolve(one, rate=max(1, round(one.rate * factor))) for one in self.streams)
        return attrs.evolve(self, streams=tuple(streams))


def fan(receivers: int = 30, rate: int = 300) -> Shape:
    """One sends video to all others."""
    stream = Stream(0, rate, VIDEO_BYTES, tuple(range(1, receivers + 1)))
    return Shape("fan", receivers + 1, (stream,))


def conversation(
    participants: int, speakers: int, videos: int, audio_rate: int = 50, video_rate: int = 60
) -> Shape:
    """All send audio and video; all get the speakers and the videos of the next ``videos`` participants."""
    streams = []
    for sender in range(participants):
        others = tuple(one for one in range(participants) if one != sender)
        heard = sender < speakers
        level = LOUD if heard else SILENT
        streams.append(Stream(sender, audio_rate, AUDIO_BYTES, others if heard else (), level))
        viewers = tuple((sender - step) % participants for step in range(1, videos + 1))
        streams.append(Stream(sender, video_rate, VIDEO_BYTES, viewers))
    return Shape(f"conversation of {participants}", participants, tuple(streams))


def simulcast(participants: int = 50, speakers: int = 5, videos: int = 9) -> Shape:
    """C50, the standard load: audio in frames of 40 ms, video in two layers, everybody gets the speakers and
    nine low layers: 665 packets a second out and 235 in per participant."""
    streams = []
    for stream in conversation(participants, speakers, videos, audio_rate=25).streams:
        if stream.level is None:
            streams.append(attrs.evolve(stream, size=1000, layer="l"))
            streams.append(attrs.evolve(stream, size=1000, layer="h", rate=150, receivers=()))
        else:
            streams.append(stream)
    return Shape("c50", participants, tuple(streams))


def spread(participants: int, receivers: int = 9, packets_in: int = 2000) -> Shape:
    """As many packets in and out whatever the number of participants: all send, each to ``receivers``."""
    shape = conversation(participants, 0, receivers, video_rate=packets_in // participants)
    videos = tuple(stream for stream in shape.streams if stream.level is None)
    return Shape(f"spread over {participants}", participants, videos)


def to_nobody(participants: int = 20) -> Shape:
    """Video that nobody watches: what a packet costs on its way in."""
    streams = (attrs.evolve(one, receivers=()) for one in conversation(participants, 0, 0).streams)
    return Shape("in", participants, tuple(stream for stream in streams if stream.level is None))


CALLS = {
    shape.name: shape
    for shape in (fan(), attrs.evolve(conversation(20, speakers=5, videos=4), name="twenty"), simulcast())
}
SHAPES = CALLS | {"in": to_nobody()}


class UdpBase:
    """A bound UDP socket, as ``sft.plugin.interfaces.Base`` wants it."""

    segments = True

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.send = self.socket.sendto

    @property
    def fd(self) -> int:
        return self.socket.fileno()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()
        return host, port


def session(ssrc_type: int) -> Session:
    policy = Policy(key=KEY, ssrc_type=ssrc_type, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
    policy.window_size = 1024
    policy.allow_repeat_tx = True
    return Session(policy)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--call", choices=tuple(SHAPES), default="fan")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--speed", type=float, default=1.0, help="times the packets per second")
    parser.add_argument("--json", action="store_true")


def chosen(options: argparse.Namespace) -> Shape:
    return SHAPES[options.call].scaled(options.speed)


class Traffic:
    """One UDP port per participant, on which its packets come and from which it is sent to."""

    def __init__(self, shape: Shape, seconds: float) -> None:
        self.shape = shape
        self.seconds = seconds
        self.packets_in = 0
        self.blocked = 0
        self.bases = [UdpBase() for _ in range(shape.participants)]
        self.sent = multiprocessing.Value("q", 0)
        self.due = multiprocessing.Value("q", 0)
        self.received = multiprocessing.Value("q", 0)
        self._meter: Meter | None = None
        self._stop = multiprocessing.Event()
        self._go = multiprocessing.Event()
        parent, child = multiprocessing.Pipe()
        targets = [base.address for base in self.bases]
        counts = self.sent, self.due, self.received
        far = _FarSide(shape, seconds, targets, self._go, self._stop, counts)
        self._process = multiprocessing.Process(target=far.run, args=(child,))
        self._process.start()
        self.addresses: list[tuple[str, int]] = parent.recv()
        """Where each participant is."""

    def __enter__(self) -> Traffic:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._process.join()
        for base in self.bases:
            base.socket.close()

    def start(self) -> None:
        self._meter = Meter(self._process.pid)  # the other way round: to it we are the clients
        self._go.set()

    def packets(self) -> Iterator[tuple[int, bytes, float]]:
        """(participant, datagram, now) until nothing comes for a second; one epoll, drained per wake-up."""
        epoll = select.epoll()
        recvs = {base.fd: (index, base.socket.recv) for index, base in enumerate(self.bases)}
        for fd in recvs:
            epoll.register(fd, select.EPOLLIN)
        self.start()
        while ready := epoll.poll(1.0):
            now = time.monotonic()
            for fd, _ in ready:
                index, recv = recvs[fd]
                for _ in range(BATCH):
                    try:
                        data = recv(2048)
                    except BlockingIOError:
                        break
                    self.packets_in += 1
                    yield index, data, now

    def report(self, name: str, cpu: float, *, selects: bool = False) -> dict[str, Any]:
        """CPU seconds of this process as microseconds per packet that has arrived; ``lost``: either way, or
        on the way in where voices are selected, which at first are not those of the shape.
        ``verdict``: why it means nothing, if so."""
        assert self._meter is not None
        meter, received, due = self._meter.stop(), self.received.value, self.due.value
        lost_in, lost_out = max(0, self.sent.value - self.packets_in), max(0, due - received)
        run = {
            "client_cpu_share": round(meter.server / self.seconds, 3),
            "others_cpu_share": round(meter.others / meter.seconds, 3),
            "due": due,
            "received": received,
            "client_lost": 0,
            "lost": lost_in if selects else lost_in + lost_out,
            "wrong": 0,
        }
        return {
            "name": name,
            "packets_in": self.packets_in,
            **run,
            "blocked": self.blocked,
            "cpu_seconds": round(cpu, 3),
            "us_per_packet_in": round(cpu / max(1, self.packets_in) * 1e6, 3),
            "us_per_packet_out": round(cpu / received * 1e6, 3) if received else None,
            "verdict": spoilt([run]) or "",
        }


def plain_packet(stream: Stream, ssrc: int, number: int) -> bytes:
    """An RTP packet with Chrome's extensions: audio level and abs-send-time; or abs-send-time, transport
    sequence number, frame descriptor and the layer's name."""
    if stream.level is None:
        extensions = _VIDEO_EXTENSIONS.pack(
            0x22, b"\0\0\0", 0x31, number & 0xFFFF, 0xB2, 0x80, number & 0xFFFF
        )
        if stream.layer:
            extensions += b"\x40" + stream.layer.encode()
        payload_type, clock = 100, 300
    else:
        extensions = _AUDIO_EXTENSIONS.pack(0x10, 0x80 | stream.level, 0x22, b"\0\0\0")
        payload_type, clock = 111, 960
    extensions += bytes(-len(extensions) % 4)
    header = _HEADER.pack(
        0x90,
        payload_type,
        number & 0xFFFF,
        number * clock & 0xFFFFFFFF,
        ssrc,
        0xBEDE,
        len(extensions) // 4,
    )
    return header + extensions + bytes(stream.size - len(header) - len(extensions))


class _FarSide:
    """The clients: sockets of their own in a process of their own, on one epoll as those of real load."""

    def __init__(
        self,
        shape: Shape,
        seconds: float,
        targets: list[tuple[str, int]],
        go: multiprocessing.synchronize.Event,
        stop: multiprocessing.synchronize.Event,
        counts: tuple[Any, Any, Any],
    ) -> None:
        """``counts``: packets sent, due here if all of those are forwarded, and received."""
        self._shape = shape
        self._seconds = seconds
        self._targets = targets
        self._go = go
        self._stop = stop
        self._sent, self._due, self._received = counts

    def run(self, pipe: Any) -> None:
        sockets = [UdpBase().socket for _ in self._targets]
        epoll = select.epoll()
        for one, target in zip(sockets, self._targets, strict=True):
            one.connect(target)
            epoll.register(one.fileno(), select.EPOLLIN)
        readers = {one.fileno(): one.recv_into for one in sockets}
        srtp = session(Policy.SSRC_ANY_OUTBOUND)
        flows = [
            (index, stream, sockets[stream.sender].send) for index, stream in enumerate(self._shape.streams)
        ]
        counts = [0] * len(flows)
        scratch = bytearray(2048)
        pipe.send([one.getsockname() for one in sockets])
        self._go.wait()
        started = time.monotonic()
        sent = due_here = received = 0
        while not self._stop.is_set():
            elapsed = min(self._seconds, time.monotonic() - started)
            for index, stream, send in flows:
                due = int(elapsed * stream.rate + index / len(flows))
                while counts[index] < due:
                    counts[index] += 1
                    send(srtp.protect(plain_packet(stream, FIRST_SSRC + index, counts[index])))
                    sent += 1
                    due_here += len(stream.receivers)
            for fd, _ in epoll.poll(0):
                read = readers[fd]
                while True:
                    try:
                        read(scratch)
                    except BlockingIOError:
                        break
                    received += not 192 <= scratch[1] <= 223  # RTCP (RFC 5761)
            self._sent.value, self._due.value, self._received.value = sent, due_here, received
            time.sleep(PACE_SECONDS)
        os._exit(0)
