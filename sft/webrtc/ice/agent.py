"""What a peer knows of an ICE agent, and what both kinds of agent share."""

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

LocalEnd: TypeAlias = "tuple[Base, Candidate]"
"""A base that can send first, and the best of its candidates."""

MAX_PATHS: Final = 16
"""Validated paths remembered per peer. A browser has one per interface and NAT binding; whoever holds
the credentials could otherwise grow the table by changing ports."""


@attrs.frozen
class Path:
    """A local base and a remote address between which packets flow."""

    base: Base
    address: Address


class IceAgent(Protocol):
    """Finds and watches the path to one peer. Mutate, then drain ``datagrams()``."""

    @property
    def is_lite(self) -> bool:
        """Whether the offer has to say ``ice-lite``."""

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

    def set_local(self, ends: Sequence[LocalEnd]) -> None:
        """From where checks can be sent. Before ``set_remote``."""

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


def authenticate_untrusted(
    message: stun.StunMessage, data: bytes, ufrag: str, pwd: bytes, remote_ufrag: str | None
) -> None:
    """Whether a check is of our ICE session (RFC 8445 section 7.3): local credentials, and, once it is known,
    the remote user name fragment."""
    local, _, remote = (message.username or "").partition(":")
    if local != ufrag or (remote_ufrag is not None and remote != remote_ufrag):
        raise BadPacket(Drop.STUN_INTEGRITY, "USERNAME is not of our ICE session")
    if not stun.has_integrity(message, data, pwd):
        raise BadPacket(Drop.STUN_INTEGRITY, "MESSAGE-INTEGRITY missing or wrong")


class Known:
    """The paths on which the peer authenticated itself, in that order; a bounded number."""

    __slots__ = ("_paths",)

    def __init__(self) -> None:
        self._paths: dict[tuple[int, Address], Path] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, path: tuple[Base, Address]) -> bool:
        base, address = path
        return (id(base), address) in self._paths

    @property
    def first(self) -> Path | None:
        return next(iter(self._paths.values()), None)

    def add(self, base: Base, address: Address, keep: Path | None) -> Path:
        """The path; when there are too many the oldest goes, but not ``keep``."""
        key = id(base), address
        path = self._paths.get(key)
        if path is None:
            path = self._paths[key] = Path(base, address)
            if len(self._paths) > MAX_PATHS:
                del self._paths[next(key for key, path in self._paths.items() if path is not keep)]
        return path
