"""A TURN client (RFC 8656): one allocation on one server, over datagrams or a byte stream. No I/O.

Mutate, then drain ``datagrams()`` (to the server) and ``received()`` (from peers, through it).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from struct import Struct
from typing import Final, TypeAlias

import attrs

from sft.errors import BadPacket, LocalError
from sft.model import Address, Drop, RandomBytes
from sft.webrtc import stun
from sft.webrtc import turn_messages as wire
from sft.webrtc.transaction import Transaction
from sft.webrtc.turn_messages import STATES, TurnEvent, TurnState
from sft.webrtc.turn_stream import TurnStream

DEFAULT_LIFETIME: Final = 600
PERMISSION_REFRESH: Final = 240.0
"""Seconds; a permission lasts 300 (section 9)."""
CHANNEL_REFRESH: Final = 540.0
"""Seconds; a channel lasts 600 (section 12)."""
MAX_PERMISSIONS: Final = 64
MAX_CHANNELS: Final = 32
MAX_HELD: Final = 8
"""Datagrams per peer that wait for its permission."""
MAX_NONCES: Final = 3
"""How often in a row one request may be told to use another nonce."""

_CHANNEL = Struct("!HH")
_FIRST_CHANNEL: Final = 0x4000

Subject: TypeAlias = "tuple[str, int] | str | None"


@attrs.frozen
class TurnFailure:
    """Why there is no allocation (any more)."""

    reason: str
    code: int | None = None
    """As the server said it: 401 and 441 credentials, 437 lost, 442 transport, 486 quota, 508 full."""
    alternate: tuple[str, int] | None = None
    """Code 300: the server to ask instead."""


@attrs.define(eq=False)
class Request:
    """One of ours under way. ``subject``: the peer it is about."""

    method: int
    attributes: Sequence[tuple[int, bytes]]
    subject: Subject
    transaction: Transaction
    nonce: bytes | None
    nonces: int = 0


@attrs.define(eq=False)
class Permission:
    """To exchange datagrams with one host."""

    granted: bool = False
    used: bool = True
    refresh_at: float | None = None
    held: list[tuple[bytes, Address]] = attrs.field(factory=list)


@attrs.define(eq=False)
class Channel:
    """A short form for one peer address."""

    number: int
    refresh_at: float | None = None


class TurnClient:
    """Make it, :meth:`start` it, wait for ``relayed`` or ``failed``."""

    def __init__(
        self,
        username: str,
        password: str,
        random: RandomBytes,
        *,
        stream: bool = False,
        ipv6: bool = False,
        lifetime: int = DEFAULT_LIFETIME,
    ) -> None:
        """``stream``: the connection to the server is TCP or TLS. ``ipv6``: the relayed address shall be."""
        self.state = TurnState.NEW
        self.relayed: tuple[str, int] | None = None
        self.mapped: tuple[str, int] | None = None
        """Our own address as the server sees it."""
        self.failed: TurnFailure | None = None
        self._username = username
        self._password = password
        self._random = random
        self._stream = TurnStream() if stream else None
        self._ipv6 = ipv6
        self._lifetime = lifetime
        self._realm: bytes | None = None
        self._nonce: bytes | None = None
        self._key: bytes | None = None
        self._refresh_at: float | None = None
        self._requests: dict[bytes, Request] = {}
        self._permissions: dict[str, Permission] = {}
        self._channels: dict[tuple[str, int], Channel] = {}
        self._numbers: dict[int, tuple[str, int]] = {}
        self._headers: dict[tuple[str, int], int] = {}  # channels that are bound, for `wrap`
        self._outbox: list[bytes] = []
        self._inbox: list[tuple[bytes, Address]] = []

    @property
    def deadline(self) -> float | None:
        times: list[float | None] = [request.transaction.deadline for request in self._requests.values()]
        if self.state is TurnState.READY:
            times.append(self._refresh_at)
            times += [permission.refresh_at for permission in self._permissions.values()]
            times += [channel.refresh_at for channel in self._channels.values()]
        return min((when for when in times if when is not None), default=None)

    def datagrams(self) -> list[bytes]:
        """What is to be sent to the server; drains."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def received(self) -> list[tuple[bytes, Address]]:
        """What peers sent, and from where; drains."""
        inbox, self._inbox = self._inbox, []
        return inbox

    def start(self, now: float) -> None:
        """Ask for an allocation."""
        self._event(TurnEvent.START)
        self._request(wire.ALLOCATE, self._allocate_attributes(), None, now)

    def permit(self, host: str, now: float) -> None:
        """Let this host's datagrams through."""
        if self.state is TurnState.READY and host not in self._permissions:
            if len(self._permissions) >= MAX_PERMISSIONS:
                return
            self._permissions[host] = Permission()
            self._create_permission(host, now)

    def wrap(self, data: bytes, address: Address) -> bytes | None:
        """The datagram in its channel, ready to be sent; None: there is no channel, use :meth:`send`."""
        number = self._headers.get((address[0], address[1]))
        if number is None:
            return None
        framed = _CHANNEL.pack(number, len(data)) + data
        return framed if self._stream is None else framed + bytes(-len(framed) & 3)

    def send(self, data: bytes, address: Address, now: float) -> None:
        """Send a datagram to a peer. The first ones wait for the permission; media and DTLS get a channel."""
        if self.state is not TurnState.READY:
            return
        host, port = address[0], address[1]
        self.permit(host, now)
        permission = self._permissions.get(host)
        if permission is None:
            return
        permission.used = True
        if not permission.granted:
            if len(permission.held) < MAX_HELD:
                permission.held.append((data, address))
            return
        framed = self.wrap(data, address)
        if framed is None:
            if data[:1] > b"\x03":  # checks may be many and to nowhere, and are not worth a channel
                self._bind((host, port), now)
            id = self._random(12)
            attributes = (wire.XOR_PEER_ADDRESS, stun.xor_address(address, id)), (wire.DATA_ATTRIBUTE, data)
            framed = stun.write(stun.Kind.INDICATION, wire.SEND, id, attributes)
        self._outbox.append(framed)

    def receive_untrusted(self, data: bytes, now: float) -> None:
        """Take one datagram of the server, or whatever came on the stream."""
        if self._stream is None:
            self._take_untrusted(data, now)
            return
        try:
            messages = self._stream.feed_untrusted(data)
        except BadPacket:
            self._fail(TurnFailure("the stream is garbled"))
            raise
        bad = None
        for message in messages:
            try:
                self._take_untrusted(message, now)
            except BadPacket as error:
                bad = error
        if bad is not None:
            raise bad

    def handle_timeout(self, now: float) -> None:
        """Do what time asks for."""
        for request in list(self._requests.values()):
            if request.transaction.is_due(now):
                self._outbox.append(request.transaction.data)
            elif request.transaction.over:
                self._requests.pop(request.transaction.id, None)
                self._refused(request, None)
        if self.state is not TurnState.READY:
            return
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            self._request(wire.REFRESH, [(wire.LIFETIME, self._lifetime.to_bytes(4, "big"))], None, now)
        for host, permission in list(self._permissions.items()):
            if permission.refresh_at is not None and now >= permission.refresh_at:
                self._refresh_permission(host, permission, now)
        for address, channel in self._channels.items():
            if channel.refresh_at is not None and now >= channel.refresh_at:
                channel.refresh_at = None
                self._request_channel(address, channel, now)

    def close(self, now: float) -> None:
        """Give the allocation back; drain once more. May be called twice."""
        if self.state is TurnState.READY:
            self._request(wire.REFRESH, [(wire.LIFETIME, bytes(4))], None, now)
        if self.state is not TurnState.OVER:
            self._event(TurnEvent.END)
        self._clear()

    # From the server -------------------------------------------------------------------------------------

    def _take_untrusted(self, data: bytes, now: float) -> None:
        if self.state in (TurnState.NEW, TurnState.OVER):
            return
        if data[:1] and 0x40 <= data[0] <= 0x4F:
            self._take_channel_untrusted(data)
            return
        message = stun.parse_untrusted(data)
        if message.kind is stun.Kind.INDICATION:
            self._take_indication_untrusted(message)
            return
        request = self._requests.get(message.transaction)
        if request is None or request.method != message.method or message.kind is stun.Kind.REQUEST:
            raise BadPacket(Drop.STUN_UNEXPECTED, "an answer nobody waits for")
        if message.kind is stun.Kind.ERROR:
            self._take_error_untrusted(request, message, now)
            return
        if self._key is None or not stun.has_integrity(message, data, self._key):
            raise BadPacket(Drop.STUN_INTEGRITY, "MESSAGE-INTEGRITY missing or wrong")
        self._take_success_untrusted(request, message, now)

    def _take_channel_untrusted(self, data: bytes) -> None:
        if len(data) < _CHANNEL.size:
            raise BadPacket(Drop.STUN_MALFORMED, "short ChannelData")
        number, length = _CHANNEL.unpack_from(data)
        address = self._numbers.get(number)
        if address is None or _CHANNEL.size + length > len(data):
            raise BadPacket(Drop.STUN_MALFORMED, "ChannelData")
        self._inbox.append((data[_CHANNEL.size : _CHANNEL.size + length], address))

    def _take_indication_untrusted(self, message: stun.StunMessage) -> None:
        if message.method != wire.DATA:
            return
        data = message.attributes.get(wire.DATA_ATTRIBUTE)
        address = wire.read_peer_untrusted(message, wire.XOR_PEER_ADDRESS)
        permission = self._permissions.get(address[0])
        if data is None or permission is None:
            raise BadPacket(Drop.STUN_UNEXPECTED, "a Data indication from nobody")
        permission.used = True
        self._inbox.append((data, address))

    def _take_success_untrusted(self, request: Request, message: stun.StunMessage, now: float) -> None:
        if request.method == wire.ALLOCATE:
            relayed = wire.read_peer_untrusted(message, wire.XOR_RELAYED_ADDRESS)
            mapped = wire.read_peer_untrusted(message, stun.XOR_MAPPED_ADDRESS)
            self._refresh_at = now + wire.lifetime_untrusted(message) / 2
            self.relayed, self.mapped = relayed, mapped
            self._event(TurnEvent.ALLOCATED)
        elif request.method == wire.REFRESH:
            self._refresh_at = now + wire.lifetime_untrusted(message) / 2
        elif request.method == wire.CREATE_PERMISSION and isinstance(request.subject, str):
            self._permitted(request.subject, now)
        elif isinstance(request.subject, tuple):
            channel = self._channels[request.subject]
            channel.refresh_at = now + CHANNEL_REFRESH
            self._headers[request.subject] = channel.number
        del self._requests[message.transaction]

    def _take_error_untrusted(self, request: Request, message: stun.StunMessage, now: float) -> None:
        """401 and 438 are asked again with what they tell (RFC 8489 section 9.2.5)."""
        code = stun.read_error_code_untrusted(message)
        realm, nonce = message.attributes.get(wire.REALM, self._realm), message.attributes.get(wire.NONCE)
        alternate = wire.alternate_untrusted(message) if code == 300 else None
        del self._requests[message.transaction]
        may_repeat = code == 438 or (code == 401 and request.nonce is None)
        if not may_repeat or realm is None or nonce is None or request.nonces >= MAX_NONCES:
            self._refused(request, code, alternate)
            return
        self._realm, self._nonce = realm, nonce
        secret = self._username.encode() + b":" + realm + b":" + self._password.encode()
        self._key = hashlib.md5(secret, usedforsecurity=False).digest()
        self._request(request.method, request.attributes, request.subject, now, request.nonces + 1)

    def _refused(self, request: Request, code: int | None, alternate: tuple[str, int] | None = None) -> None:
        """``code`` None: no answer came."""
        reason = "no answer from the server" if code is None else f"refused with code {code}"
        if request.method in (wire.ALLOCATE, wire.REFRESH) or code == 437:
            self._fail(TurnFailure(reason, code, alternate))
        elif request.method == wire.CREATE_PERMISSION and isinstance(request.subject, str):
            self._permissions.pop(request.subject, None)
        elif isinstance(request.subject, tuple):
            self._headers.pop(request.subject, None)  # from now on by Send indications

    def _permitted(self, host: str, now: float) -> None:
        permission = self._permissions[host]
        permission.granted, permission.used = True, False
        permission.refresh_at = now + PERMISSION_REFRESH
        held, permission.held = permission.held, []
        for data, address in held:
            self.send(data, address, now)

    # To the server ---------------------------------------------------------------------------------------

    def _allocate_attributes(self) -> list[tuple[int, bytes]]:
        attributes = [
            (wire.REQUESTED_TRANSPORT, wire.UDP),
            (wire.LIFETIME, self._lifetime.to_bytes(4, "big")),
        ]
        if self._ipv6:
            attributes.append((wire.REQUESTED_ADDRESS_FAMILY, wire.IPV6))
        return attributes

    def _refresh_permission(self, host: str, permission: Permission, now: float) -> None:
        """If the host is of interest still."""
        permission.refresh_at = None
        if permission.used or any(address[0] == host for address in self._channels):
            self._create_permission(host, now)
        else:
            del self._permissions[host]

    def _create_permission(self, host: str, now: float) -> None:
        self._request(wire.CREATE_PERMISSION, (), host, now)

    def _bind(self, address: tuple[str, int], now: float) -> None:
        if address not in self._channels and len(self._channels) < MAX_CHANNELS:
            number = _FIRST_CHANNEL + len(self._channels)
            channel = self._channels[address] = Channel(number)
            self._numbers[number] = address
            self._request_channel(address, channel, now)

    def _request_channel(self, address: tuple[str, int], channel: Channel, now: float) -> None:
        self._request(
            wire.CHANNEL_BIND,
            [(wire.CHANNEL_NUMBER, channel.number.to_bytes(2, "big") + bytes(2))],
            address,
            now,
        )

    def _request(
        self,
        method: int,
        attributes: Sequence[tuple[int, bytes]],
        subject: Subject,
        now: float,
        nonces: int = 0,
    ) -> None:
        id = self._random(12)
        peer = (subject, 0) if isinstance(subject, str) else subject
        written = [*attributes]
        if peer is not None:
            written.append((wire.XOR_PEER_ADDRESS, stun.xor_address(peer, id)))
        if self._realm is not None and self._nonce is not None:
            written += [
                (stun.USERNAME, self._username.encode()),
                (wire.REALM, self._realm),
                (wire.NONCE, self._nonce),
            ]
        data = stun.write(stun.Kind.REQUEST, method, id, written, self._key)
        transaction = Transaction(id, data, now, reliable=self._stream is not None)
        self._requests[id] = Request(method, attributes, subject, transaction, self._nonce, nonces)
        self._outbox.append(data)

    def _fail(self, failure: TurnFailure) -> None:
        self.failed = failure
        self._event(TurnEvent.END)
        self._clear()

    def _clear(self) -> None:
        for table in (self._requests, self._permissions, self._channels, self._numbers, self._headers):
            table.clear()

    def _event(self, event: TurnEvent) -> None:
        try:
            self.state = STATES[self.state][event]
        except KeyError:
            raise LocalError(f"{event} in {self.state}") from None
