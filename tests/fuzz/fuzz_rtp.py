"""RTP: any bytes are read or refused; any packet of an authenticated client is taken or counted."""

from __future__ import annotations

import itertools
import random
import struct

from pylibsrtp import Error, Policy, Session

from sft.errors import BadPacket
from sft.forwarding.endpoint import Endpoint
from sft.forwarding.engine import PythonEngine
from sft.forwarding.loop import receive
from sft.forwarding.table import Table
from sft.model import Drops, ParticipantId, SrtpParameters
from sft.webrtc import rtp

AUDIO, HIGH, LOW, RTX = 0xA0A0, 0x1111, 0x2222, 0x3333
KEYS = SrtpParameters("SRTP_AEAD_AES_128_GCM", inbound=bytes(range(28)), outbound=bytes(range(28)))
ADDRESS = ("192.0.2.7", 40000)


class Wire:
    """A base that keeps what is sent."""

    fd = None

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, data: bytes, address: object) -> None:
        self.sent.append(data)


class Call:
    """Two endpoints that get each other's audio and video; a fresh one now and then, so that runs repeat."""

    def __init__(self) -> None:
        randomness = random.Random(1).randbytes
        self.drops = Drops()
        self.now = 1000.0
        self.table = Table(randomness, lambda now: now + 1.8e9, lambda when: None)
        self.wire = Wire()
        engine = PythonEngine(self.drops)
        self.endpoints = [
            Endpoint(ParticipantId(name, "_"), 7, 5, 9, engine, self.drops, randomness) for name in "ab"
        ]
        self.sender, self.receiver = self.endpoints
        for endpoint in self.endpoints:
            endpoint.set_answer(AUDIO, (), audio_nack=True, video_nack=True)
            self.table.add(endpoint, self.now)
            endpoint.set_path(self.wire, ADDRESS)
            endpoint.open(KEYS, self.now)
        both = frozenset(self.endpoints)
        for endpoint in self.endpoints:
            self.table.set_allowed(endpoint, both - {endpoint}, both - {endpoint}, self.now)
        self.table.set_streams(self.receiver, [(self.sender, 2), (self.sender, 1)], self.now)
        policy = Policy(KEYS.inbound, Policy.SSRC_ANY_OUTBOUND, 0, Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
        policy.allow_repeat_tx = True
        self.session = Session(policy)
        for packet in seeds():
            self.deliver(self.session.protect(packet))

    def deliver(self, datagram: bytes) -> None:
        self.now += 0.003
        receive(self.sender, self.wire, datagram, ADDRESS, self.now)
        self.table.tick(self.now)


_rounds = itertools.count()
_call: list[Call] = []


def call() -> Call:
    """The call under test; mutants must not meet the leftovers of thousands of others."""
    if next(_rounds) % 500 == 0:
        _call[:] = [Call()]
    return _call[0]


def fuzz(data: bytes) -> None:
    """Raises only if the code under test misbehaves."""
    if len(data) >= 12:
        try:
            payload, *_ = rtp.read_extensions_untrusted(data, data[0])
            if not 12 <= payload <= len(data):
                raise AssertionError("payload outside the packet")
            if payload < len(data):
                rtp.strip_padding_untrusted(data, payload)
        except BadPacket:
            pass
    target = call()
    target.deliver(data[:2000])
    try:
        protected = target.session.protect(data[:1200])
    except Error:
        return
    before = sum(target.drops.counts.values()) + target.sender.packets
    target.deliver(protected)
    if sum(target.drops.counts.values()) + target.sender.packets == before and 128 <= protected[0] <= 191:
        raise AssertionError("neither taken nor counted")
    target.wire.sent.clear()
    if len(target.sender.sources) > 4:
        raise AssertionError("more sources than an endpoint may have")


def packet(
    ssrc: int, sequence: int, payload_type: int, block: str, payload: bytes, profile: int = 0xBEDE
) -> bytes:
    body = bytes.fromhex(block)
    body += bytes(-len(body) % 4)
    first = 0x90 if body else 0x80
    header = struct.pack("!BBHII", first, payload_type, sequence, sequence * 960, ssrc)
    return header + (struct.pack("!HH", profile, len(body) // 4) + body if body else b"") + payload


def seeds() -> list[bytes]:
    """Audio, both layers and a repeat as Chrome sends them, padding, the two-byte form, and CSRCs."""
    padded = packet(HIGH, 12, 100, "22000102310003", b"pay" + bytes(4) + b"\x05")
    return [
        packet(AUDIO, 1, 111, "108c22000102", b"opus" * 40),
        packet(AUDIO, 2, 111, "107f22000102", b"opus" * 40),
        packet(HIGH, 10, 100, "220001023100014068b7b001090002800168", b"vp8" * 300),
        packet(LOW, 10, 100, "22000102310002406cb7b001090002800168", b"vp8" * 100),
        packet(HIGH, 11, 100, "22000102310003b070", b"vp8" * 300),
        bytes((padded[0] | 0x20,)) + padded[1:],
        packet(HIGH, 13, 100, "0203000102030200040b01800401680100", b"two-byte", 0x1000),
        packet(HIGH, 14, 100, "638000018000", b"dependency descriptor"),
        packet(HIGH, 16, 100, "3100054068", b"after a gap"),
        packet(RTX, 1, 101, "3100065068", b"\0\x0frepeat"),
        bytes((0x82,)) + packet(AUDIO, 3, 111, "", b"")[1:] + bytes(8) + b"with CSRCs",
    ]
