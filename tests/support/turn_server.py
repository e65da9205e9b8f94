"""A TURN server without I/O, as strict as RFC 8656, for tests of the client."""

from __future__ import annotations

import hashlib
import itertools
from struct import pack, unpack_from

from sft.webrtc import stun
from sft.webrtc import turn_messages as turn
from sft.webrtc.turn_stream import TurnStream

REALM = b"example.org"
USER, PASSWORD = "ann", "secret"
RELAYED = ("198.51.100.1", 49152)
MAPPED = ("203.0.113.5", 4000)


class TurnServer:
    """One allocation. ``refusals``: method -> error codes to give next, each once. ``errors``: what a
    client did wrong."""

    def __init__(self, *, stream: bool = False, lifetime: int = 600) -> None:
        self.lifetime = lifetime
        self.now = 0.0
        self.stream = TurnStream() if stream else None
        self.padded = stream
        self.nonces = itertools.count()
        self.nonce = b"nonce"
        self.expires: float | None = None
        self.permissions: dict[str, float] = {}
        self.channels: dict[int, tuple[tuple[str, int], float]] = {}
        self.refusals: dict[int, list[int]] = {}
        self.requests: list[int] = []
        self.relayed: list[tuple[bytes, tuple[str, int]]] = []
        """What left for peers."""
        self.dropped = 0
        self.indications = 0
        self.alternate = ("192.0.2.99", 3478)

    def receive(self, data: bytes, now: float) -> list[bytes]:
        self.now = now
        messages = [data] if self.stream is None else self.stream.feed_untrusted(data)
        return [answer for message in messages for answer in self._take(message)]

    def from_peer(self, data: bytes, peer: tuple[str, int]) -> list[bytes]:
        if self.permissions.get(peer[0], 0.0) <= self.now or (self.expires or 0) <= self.now:
            self.dropped += 1
            return []
        for number, (address, until) in self.channels.items():
            if address == peer and until > self.now:
                framed = pack("!HH", number, len(data)) + data
                return [framed + bytes(-len(framed) & 3) if self.padded else framed]
        id = bytes(12)
        attributes = [(turn.XOR_PEER_ADDRESS, stun.xor_address(peer, id)), (turn.DATA_ATTRIBUTE, data)]
        return [stun.write(stun.Kind.INDICATION, turn.DATA, id, attributes)]

    def _take(self, data: bytes) -> list[bytes]:
        if 0x40 <= data[0] <= 0x4F:
            number, length = unpack_from("!HH", data)
            address, until = self.channels[number]
            assert until > self.now
            self._relay(data[4 : 4 + length], address)
            return []
        message = stun.parse_untrusted(data)
        if message.kind is stun.Kind.INDICATION:
            self.indications += 1
            self._relay(
                message.attributes[turn.DATA_ATTRIBUTE],
                turn.read_peer_untrusted(message, turn.XOR_PEER_ADDRESS),
            )
            return []
        return [self._answer(message, data)]

    def _relay(self, data: bytes, peer: tuple[str, int]) -> None:
        if self.permissions.get(peer[0], 0.0) > self.now:
            self.relayed.append((data, peer))
        else:
            self.dropped += 1

    def _answer(self, message: stun.StunMessage, data: bytes) -> bytes:
        method = message.method
        self.requests.append(method)
        key = hashlib.md5(f"{USER}:{REALM.decode()}:{PASSWORD}".encode()).digest()
        if message.integrity_at is None or not stun.has_integrity(message, data, key):
            return self._refuse(message, 401, key)
        if message.attributes[turn.NONCE] != self.nonce:
            return self._refuse(message, 438, key)
        if waiting := self.refusals.get(method):
            return self._refuse(message, waiting.pop(0), key)
        if method != turn.ALLOCATE and (self.expires is None or self.expires <= self.now):
            return self._refuse(message, 437, key)
        attributes = self._grant(message)
        return stun.write(stun.Kind.SUCCESS, method, message.transaction, attributes, key)

    def _grant(self, message: stun.StunMessage) -> list[tuple[int, bytes]]:
        id = message.transaction
        lifetime = turn.LIFETIME, self.lifetime.to_bytes(4, "big")
        match message.method:
            case turn.ALLOCATE:
                assert message.attributes[turn.REQUESTED_TRANSPORT] == turn.UDP
                self.expires = self.now + self.lifetime
                relayed = turn.XOR_RELAYED_ADDRESS, stun.xor_address(RELAYED, id)
                return [relayed, (stun.XOR_MAPPED_ADDRESS, stun.xor_address(MAPPED, id)), lifetime]
            case turn.REFRESH if message.attributes[turn.LIFETIME] == bytes(4):
                self.expires = None
                return [(turn.LIFETIME, bytes(4))]
            case turn.REFRESH:
                self.expires = self.now + self.lifetime
                return [lifetime]
            case turn.CREATE_PERMISSION:
                self.permissions[turn.read_peer_untrusted(message, turn.XOR_PEER_ADDRESS)[0]] = self.now + 300
            case turn.CHANNEL_BIND:
                number = int.from_bytes(message.attributes[turn.CHANNEL_NUMBER][:2], "big")
                peer = turn.read_peer_untrusted(message, turn.XOR_PEER_ADDRESS)
                assert self.channels.get(number, (peer, 0))[0] == peer
                self.channels[number] = peer, self.now + 600
                self.permissions[peer[0]] = self.now + 300
        return []

    def _refuse(self, message: stun.StunMessage, code: int, key: bytes) -> bytes:
        attributes = [stun.error_code(code, "no")]
        if code in (401, 438):
            self.nonce = b"nonce%d" % next(self.nonces)
            attributes += [(turn.REALM, REALM), (turn.NONCE, self.nonce)]
        if code == 300:
            host, port = self.alternate
            packed = bytes(map(int, host.split(".")))
            attributes.append((turn.ALTERNATE_SERVER, b"\0\1" + port.to_bytes(2, "big") + packed))
        return stun.write(stun.Kind.ERROR, message.method, message.transaction, attributes)
