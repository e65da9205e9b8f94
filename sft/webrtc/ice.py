"""ICE (RFC 8445): which network path leads to the peer, proven by authenticated checks.

:class:`LiteAgent` only answers checks. A full agent, which sends its own, implements the same
:class:`IceAgent`; the peer cannot tell them apart.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import attrs

from sft.errors import BadPacket
from sft.model import Address, Candidate, Drop, RandomBytes
from sft.webrtc import stun

if TYPE_CHECKING:
    from sft.plugin.interfaces import Base

Outgoing: TypeAlias = "tuple[Base, bytes, Address]"
"""A datagram on its way out: local end, bytes, remote address."""

MAX_PATHS: Final = 16
"""Validated paths remembered per peer. A browser has one per interface and NAT binding; whoever holds
the credentials could otherwise grow the table by changing ports."""

_KNOWN: Final = frozenset((stun.USERNAME, stun.MESSAGE_INTEGRITY, stun.PRIORITY, stun.USE_CANDIDATE))


@attrs.frozen
class Path:
    """A local base and a remote address between which packets flow."""

    base: Base
    address: Address


class IceAgent(Protocol):
    """Finds and watches the path to one peer. Mutate, then drain ``datagrams()``."""

    @property
    def ufrag(self) -> str:
        """Local user name fragment, for the offer."""

    @property
    def pwd(self) -> str:
        """Local password, for the offer."""

    @property
    def selected(self) -> Path | None:
        """The nominated path, for media."""

    @property
    def path(self) -> Path | None:
        """Where DTLS may answer: the nominated path, before that the first validated one."""

    @property
    def failed(self) -> str | None:
        """Why no path is left (checks timed out, consent lost: RFC 7675); None while there is hope."""

    @property
    def last_alive(self) -> float | None:
        """When the last authenticated message came."""

    @property
    def deadline(self) -> float | None:
        """When ``handle_timeout`` wants to be called."""

    def set_remote(self, ufrag: str, pwd: str, candidates: Sequence[Candidate], now: float) -> None:
        """The remote credentials and candidates, from the SDP answer."""

    def is_validated(self, base: Base, address: Address) -> bool:
        """Whether the peer proved that it is reachable there."""

    def receive_untrusted(self, base: Base, data: bytes, address: Address, now: float) -> bool:
        """Take one STUN datagram. Whether it was the peer's: it had the integrity only the peer can make."""

    def handle_timeout(self, now: float) -> None: ...

    def datagrams(self) -> list[Outgoing]:
        """What is to be sent; drains."""


def make_credentials(random: RandomBytes) -> tuple[str, str]:
    """(ufrag, pwd): 48 and 144 random bits. The base64 alphabet is ICE's own (RFC 8839 section 5.4)."""
    return b64encode(random(6)).decode(), b64encode(random(18)).decode()


def local_ufrag_untrusted(data: bytes) -> str:
    """The ufrag a check is addressed to, so that a shared port can find the peer. Proves nothing."""
    username = stun.parse_untrusted(data).username
    if username is None or ":" not in username:
        raise BadPacket(Drop.STUN_UNEXPECTED, "no USERNAME of an ICE check")
    return username.partition(":")[0]


class LiteAgent:
    """An ICE-lite agent (RFC 8445 section 7.3) and consent responder (RFC 7675).

    Always controlled. Needs only its own credentials to answer, so checks are answered before the
    SDP answer arrived. A check with USE-CANDIDATE moves the path to where it came from: the newest
    nomination wins, whether the peer nominates once, repeatedly or after a change of its address.
    An unauthenticated request gets no answer at all, so a flood cannot be reflected.
    """

    __slots__ = ("_outbox", "_paths", "_pwd_bytes", "_remote_ufrag", "last_alive", "pwd", "selected", "ufrag")

    def __init__(self, random: RandomBytes) -> None:
        self.ufrag, self.pwd = make_credentials(random)
        self.selected: Path | None = None
        self.last_alive: float | None = None
        self._pwd_bytes = self.pwd.encode()
        self._remote_ufrag: str | None = None
        self._paths: dict[tuple[int, Address], Path] = {}  # in the order they were validated
        self._outbox: list[Outgoing] = []

    @property
    def path(self) -> Path | None:
        return self.selected or next(iter(self._paths.values()), None)

    @property
    def failed(self) -> str | None:
        return None

    @property
    def deadline(self) -> float | None:
        return None

    def set_remote(self, ufrag: str, pwd: str, candidates: Sequence[Candidate], now: float) -> None:
        self._remote_ufrag = ufrag

    def is_validated(self, base: Base, address: Address) -> bool:
        return (id(base), address) in self._paths

    def handle_timeout(self, now: float) -> None:
        pass

    def datagrams(self) -> list[Outgoing]:
        outbox, self._outbox = self._outbox, []
        return outbox

    def receive_untrusted(self, base: Base, data: bytes, address: Address, now: float) -> bool:
        message = stun.parse_untrusted(data)
        if message.kind is stun.Kind.INDICATION:
            return False  # a keep-alive (RFC 8445 section 11); unauthenticated, so it proves nothing
        if message.kind is not stun.Kind.REQUEST or message.method != stun.BINDING:
            raise BadPacket(Drop.STUN_UNEXPECTED, f"{message.kind.name} of method {message.method:#x}")
        self._authenticate_untrusted(message, data)
        self.last_alive = now
        if unknown := message.unknown(_KNOWN):
            attributes = stun.error_code(420, "Unknown Attribute"), stun.unknown_attributes(unknown)
            self._answer(base, address, message, stun.Kind.ERROR, *attributes)
        elif stun.ICE_CONTROLLED in message.attributes:
            # A lite agent cannot become controlling, whatever the tie-breakers say.
            self._answer(base, address, message, stun.Kind.ERROR, stun.error_code(487, "Role Conflict"))
        else:
            mapped = stun.XOR_MAPPED_ADDRESS, stun.xor_address(address, message.transaction)
            self._answer(base, address, message, stun.Kind.SUCCESS, mapped)
            self._confirm(base, address, nominated=stun.USE_CANDIDATE in message.attributes)
        return True

    def _authenticate_untrusted(self, message: stun.StunMessage, data: bytes) -> None:
        local, _, remote = (message.username or "").partition(":")
        if local != self.ufrag or (self._remote_ufrag is not None and remote != self._remote_ufrag):
            raise BadPacket(Drop.STUN_INTEGRITY, "USERNAME is not of this session")
        if not stun.has_integrity(message, data, self._pwd_bytes):
            raise BadPacket(Drop.STUN_INTEGRITY, "MESSAGE-INTEGRITY missing or wrong")

    def _answer(
        self,
        base: Base,
        address: Address,
        request: stun.StunMessage,
        kind: stun.Kind,
        *attributes: tuple[int, bytes],
    ) -> None:
        data = stun.write(kind, stun.BINDING, request.transaction, attributes, self._pwd_bytes)
        self._outbox.append((base, data, address))

    def _confirm(self, base: Base, address: Address, *, nominated: bool) -> None:
        key = id(base), address
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = Path(base, address)
            if len(self._paths) > MAX_PATHS:
                self._forget_one()
        if nominated:
            self.selected = path

    def _forget_one(self) -> None:
        for key, path in self._paths.items():
            if path is not self.selected:
                del self._paths[key]
                return
