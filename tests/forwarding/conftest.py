"""A call without sockets: real SRTP on both sides, a clock that only moves when told."""

from __future__ import annotations

import heapq
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from pylibsrtp import Policy, Session

from sft.forwarding.endpoint import Endpoint
from sft.forwarding.engine import PythonEngine
from sft.forwarding.loop import receive
from sft.forwarding.source import Source
from sft.forwarding.table import Table
from sft.model import Address, Drop, Drops, ParticipantId, SrtpParameters
from sft.webrtc import rtcp

ADDRESS: Address = ("192.0.2.1", 5000)
WALL = 1_800_000_000.0
PROFILE = "SRTP_AEAD_AES_128_GCM"


@dataclass(frozen=True)
class Rtp:
    """A plain RTP packet taken apart by the simplest means."""

    raw: bytes

    @property
    def padded(self) -> bool:
        return bool(self.raw[0] & 0x20)

    @property
    def second(self) -> int:
        return self.raw[1]

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.raw[2:4], "big")

    @property
    def timestamp(self) -> int:
        return int.from_bytes(self.raw[4:8], "big")

    @property
    def ssrc(self) -> int:
        return int.from_bytes(self.raw[8:12], "big")

    @property
    def csrcs(self) -> list[int]:
        return [int.from_bytes(self.raw[12 + 4 * i : 16 + 4 * i], "big") for i in range(self.raw[0] & 15)]

    @property
    def after_csrcs(self) -> bytes:
        """Extension block and payload."""
        return self.raw[12 + 4 * (self.raw[0] & 15) :]

    @property
    def payload(self) -> bytes:
        rest = self.after_csrcs
        return rest[4 + 4 * int.from_bytes(rest[2:4], "big") :] if self.raw[0] & 0x10 else rest


def extension_block(*elements: tuple[int, bytes]) -> bytes:
    """A one-byte header extension block (RFC 8285 section 4.2)."""
    body = b"".join(bytes((ident << 4 | len(value) - 1,)) + value for ident, value in elements)
    body += bytes(-len(body) % 4)
    return struct.pack("!HH", 0xBEDE, len(body) // 4) + body


def rtp_packet(
    ssrc: int,
    sequence: int,
    timestamp: int = 0,
    *,
    payload_type: int = 100,
    elements: tuple[tuple[int, bytes], ...] = (),
    payload: bytes = b"payload",
    padding: int = 0,
    csrcs: tuple[int, ...] = (),
) -> bytes:
    first = 0x80 | (0x10 if elements else 0) | (0x20 if padding else 0) | len(csrcs)
    header = struct.pack("!BBHII", first, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    header += b"".join(struct.pack("!I", csrc) for csrc in csrcs)
    block = extension_block(*elements) if elements else b""
    tail = bytes(padding - 1) + bytes((padding,)) if padding else b""
    return header + block + payload + tail


class Wire:
    """A base that keeps what is sent."""

    fd = None

    def __init__(self) -> None:
        self.datagrams: list[tuple[bytes, Address]] = []

    def send(self, data: bytes, address: Address) -> None:
        self.datagrams.append((data, address))


@dataclass
class Client:
    """The far side of an endpoint: protects what it sends, unprotects what it gets."""

    call: Call
    endpoint: Endpoint
    outgoing: Session
    incoming: Session
    wire: Wire
    audio_ssrc: int
    keys: SrtpParameters
    sequences: dict[int, int] = field(default_factory=dict)
    rtp: list[Rtp] = field(default_factory=list)
    rtcp: list[rtcp.RtcpPacket] = field(default_factory=list)
    raw_rtcp: list[bytes] = field(default_factory=list)
    reported: dict[int, tuple[int, float]] = field(default_factory=dict)
    """The newest sender report of each slot: its short NTP time, and when it came (for slow links)."""

    def __hash__(self) -> int:
        return id(self)

    def deliver(self, datagram: bytes) -> None:
        receive(self.endpoint, self.wire, datagram, ADDRESS, self.call.now)

    def send(self, packet: bytes) -> None:
        self.deliver(self.outgoing.protect(packet))

    def send_rtcp(self, compound: bytes) -> None:
        self.deliver(self.outgoing.protect_rtcp(compound))

    def audio(
        self, level: int | None = 30, *, payload: bytes = b"sound", sequence: int | None = None
    ) -> None:
        ssrc = self.audio_ssrc
        elements = () if level is None else ((1, bytes((0x80 | level,))),)
        self.send(
            rtp_packet(
                ssrc,
                self._next(ssrc, sequence),
                int(self.call.now * 48_000),
                payload_type=111,
                elements=elements,
                payload=payload,
            )
        )

    def video(
        self,
        ssrc: int,
        rid: str = "",
        *,
        key: bool = False,
        descriptor: bool = True,
        sequence: int | None = None,
        payload: bytes = b"picture",
        transport: int | None = None,
        padding: int = 0,
        marker: bool = False,
    ) -> None:
        elements: tuple[tuple[int, bytes], ...] = ()
        if rid:
            elements += ((4, rid.encode()),)
        if transport is not None:
            elements += ((3, struct.pack("!H", transport)),)
        if descriptor:
            elements += ((11, b"\xb0\x01\x00" if key else b"\x98\x01\x00"),)
        timestamp = int(self.call.now * 90_000)
        number = self._next(ssrc, sequence)
        self.send(
            rtp_packet(
                ssrc,
                number,
                timestamp,
                payload_type=0x80 | 100 if marker else 100,
                elements=elements,
                payload=payload,
                padding=padding,
            )
        )

    def _next(self, ssrc: int, sequence: int | None) -> int:
        if sequence is None:
            sequence = self.sequences.get(ssrc, 100) + 1
            self.sequences[ssrc] = sequence
        return sequence

    def drain(self) -> list[Rtp]:
        """RTP that came since the last time; RTCP goes to ``rtcp``."""
        new = []
        for datagram, _ in self.wire.datagrams:
            if 192 <= datagram[1] <= 223:
                plain = self.incoming.unprotect_rtcp(datagram)
                self.raw_rtcp.append(plain)
                self.rtcp += rtcp.parse_compound_untrusted(plain)
            else:
                new.append(Rtp(self.incoming.unprotect(datagram)))
        self.wire.datagrams.clear()
        self.rtp += new
        return new

    def heard(self) -> set[int]:
        """CSRCs of what came since the last time."""
        return {packet.csrcs[0] for packet in self.drain()}

    def asked(self, kind: type) -> list:
        """RTCP of one type since the last time."""
        self.drain()
        found = [packet for packet in self.rtcp if isinstance(packet, kind)]
        self.rtcp.clear()
        return found

    def audio_source(self) -> Source:
        source = self.endpoint.audio
        assert source is not None
        return source


class Call:
    """One table, its clients, and a timer heap."""

    def __init__(self, seed: int = 1) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.drops = Drops()
        self.wakes: list[float] = []
        self.engine = PythonEngine(self.drops)
        self.table = Table(self.random.randbytes, self.wall, lambda when: heapq.heappush(self.wakes, when))
        self.clients: list[Client] = []

    def wall(self, now: float) -> float:
        return WALL + now

    def join(
        self,
        *,
        video_ssrcs: tuple[int, ...] = (),
        nack: bool = False,
        engine: PythonEngine | None = None,
        open_now: bool = True,
    ) -> Client:
        index = len(self.clients) + 1
        participant = ParticipantId(f"{index:032x}", "_")
        endpoint = Endpoint(
            participant, 0xF0000 + index, 5, 3, engine or self.engine, self.drops, self.random.randbytes
        )
        audio_ssrc = 0xA0000 + index
        endpoint.set_answer(audio_ssrc, video_ssrcs, audio_nack=nack, video_nack=nack)
        self.table.add(endpoint, self.now)
        wire = Wire()
        endpoint.set_path(wire, ADDRESS)
        up, down = self.random.randbytes(28), self.random.randbytes(28)
        client = Client(
            self,
            endpoint,
            outgoing=_session(up, Policy.SSRC_ANY_OUTBOUND),
            incoming=_session(down, Policy.SSRC_ANY_INBOUND),
            wire=wire,
            audio_ssrc=audio_ssrc,
            keys=SrtpParameters(PROFILE, inbound=up, outbound=down),
        )
        if open_now:
            endpoint.open(client.keys, self.now)
        self.clients.append(client)
        return client

    def connect_all(self) -> None:
        """Everybody may receive everybody's audio and video; the first client is the roster's first."""
        self.table.set_first(self.clients[0].endpoint)
        for client in self.clients:
            others = frozenset(other.endpoint for other in self.clients if other is not client)
            self.table.set_allowed(client.endpoint, others, others, self.now)

    def advance(self, seconds: float) -> None:
        """Let time pass, with the ticks that were asked for."""
        end = self.now + seconds
        while self.wakes and self.wakes[0] <= end:
            self.now = max(self.now, heapq.heappop(self.wakes))
            self.table.tick(self.now)
        self.now = end

    def dropped(self, reason: Drop) -> int:
        return self.drops.counts[reason]


def _session(key: bytes, kind: int) -> Session:
    policy = Policy(key=key, ssrc_type=kind, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
    policy.window_size = 1024
    policy.allow_repeat_tx = True
    return Session(policy)


@pytest.fixture
def call() -> Call:
    return Call()


@pytest.fixture(scope="session")
def make_call() -> Callable[[int], Call]:
    return Call


@pytest.fixture(scope="session")
def packet() -> Callable[..., bytes]:
    """Builds a plain RTP packet."""
    return rtp_packet
