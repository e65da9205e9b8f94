"""Asks a STUN server under which address it sees us (RFC 8489)."""

from __future__ import annotations

from typing import Final

from sft.errors import BadPacket
from sft.model import Address, Drop, RandomBytes
from sft.webrtc import stun
from sft.webrtc.transaction import Transaction
from sft.webrtc.turn import TurnFailure
from sft.webrtc.turn_messages import read_peer_untrusted

KEEP_ALIVE: Final = 15.0
"""Seconds between two requests, so that a NAT keeps the address (RFC 8445 section 11)."""


class StunClient:
    """Has the methods of a :class:`sft.webrtc.turn.TurnClient`, and never a relayed address."""

    def __init__(self, random: RandomBytes) -> None:
        self.mapped: tuple[str, int] | None = None
        self.relayed: tuple[str, int] | None = None
        self.failed: TurnFailure | None = None
        self._random = random
        self._transaction: Transaction | None = None
        self._again_at: float | None = None
        self._outbox: list[bytes] = []

    @property
    def deadline(self) -> float | None:
        return self._again_at if self._transaction is None else self._transaction.deadline

    def datagrams(self) -> list[bytes]:
        outbox, self._outbox = self._outbox, []
        return outbox

    def received(self) -> list[tuple[bytes, Address]]:
        return []

    def start(self, now: float) -> None:
        id = self._random(12)
        data = stun.write(stun.Kind.REQUEST, stun.BINDING, id, [])
        self._transaction = Transaction(id, data, now)
        self._again_at = None
        self._outbox.append(data)

    def permit(self, host: str, now: float) -> None:
        pass

    def wrap(self, data: bytes, address: Address) -> bytes | None:
        return None

    def send(self, data: bytes, address: Address, now: float) -> None:
        pass

    def receive_untrusted(self, data: bytes, now: float) -> None:
        message = stun.parse_untrusted(data)
        transaction = self._transaction
        if transaction is None or message.transaction != transaction.id:
            raise BadPacket(Drop.STUN_UNEXPECTED, "an answer nobody waits for")
        if message.kind is stun.Kind.SUCCESS:
            self.mapped = read_peer_untrusted(message, stun.XOR_MAPPED_ADDRESS)
            self._again_at = now + KEEP_ALIVE
        elif message.kind is stun.Kind.ERROR and self.mapped is None:
            self.failed = TurnFailure("refused", stun.read_error_code_untrusted(message))
        self._transaction = None

    def handle_timeout(self, now: float) -> None:
        transaction = self._transaction
        if transaction is None:
            if self._again_at is not None and now >= self._again_at:
                self.start(now)
        elif transaction.is_due(now):
            self._outbox.append(transaction.data)
        elif transaction.over:
            self._transaction = None
            self.failed = self.failed or TurnFailure("no answer from the server")

    def close(self, now: float) -> None:
        self._transaction = self._again_at = None
