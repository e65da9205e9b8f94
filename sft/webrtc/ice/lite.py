"""The lite agent: a server with a public address answers checks and sends none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sft.errors import BadPacket
from sft.model import Address, Candidate, Drop, RandomBytes
from sft.webrtc import stun
from sft.webrtc.ice.agent import Known, LocalEnd, Outgoing, Path, authenticate_untrusted, make_credentials

if TYPE_CHECKING:
    from sft.plugin.interfaces import Base

_KNOWN: Final = frozenset((stun.USERNAME, stun.MESSAGE_INTEGRITY, stun.PRIORITY, stun.USE_CANDIDATE))


class LiteAgent:
    """An ICE-lite agent (RFC 8445 section 7.3) and consent responder (RFC 7675).

    Always controlled. Needs only its own credentials to answer, so checks are answered before the
    SDP answer arrived. A check with USE-CANDIDATE moves the path to where it came from: the newest
    nomination wins, whether the peer nominates once, repeatedly or after a change of its address.
    An unauthenticated request gets no answer at all, so a flood cannot be reflected.
    """

    __slots__ = ("_known", "_outbox", "_pwd_bytes", "_remote_ufrag", "last_alive", "pwd", "selected", "ufrag")

    is_lite = True

    def __init__(self, random: RandomBytes) -> None:
        self.ufrag, self.pwd = make_credentials(random)
        self.selected: Path | None = None
        self.last_alive: float | None = None
        self._pwd_bytes = self.pwd.encode()
        self._remote_ufrag: str | None = None
        self._known = Known()
        self._outbox: list[Outgoing] = []

    @property
    def path(self) -> Path | None:
        return self.selected or self._known.first

    @property
    def failed(self) -> str | None:
        return None

    @property
    def deadline(self) -> float | None:
        return None

    def set_local(self, ends: Sequence[LocalEnd]) -> None:
        pass

    def set_remote(self, ufrag: str, pwd: str, candidates: Sequence[Candidate], now: float) -> None:
        self._remote_ufrag = ufrag

    def is_validated(self, base: Base, address: Address) -> bool:
        return (base, address) in self._known

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
        authenticate_untrusted(message, data, self.ufrag, self._pwd_bytes, self._remote_ufrag)
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
            path = self._known.add(base, address, self.selected)
            if stun.USE_CANDIDATE in message.attributes:
                self.selected = path
        return True

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
