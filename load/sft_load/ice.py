"""The client's ICE: one socket, a few remote candidates, no pacing to speak of (RFC 8445). No I/O."""

from __future__ import annotations

from typing import Final

from sft.errors import BadPacket
from sft.model import Address, Drop, RandomBytes
from sft.webrtc import stun
from sft_load.sdp import Offer

PRIORITY: Final = (0x6E7E1EFF).to_bytes(4, "big")  # of a peer-reflexive candidate


class Checks:
    """Writes checks and answers the server's. Against a lite server we are in control (RFC 8445 section
    6.1.1), against a full one it is: it has made the offer."""

    def __init__(self, random: RandomBytes) -> None:
        self.ufrag, self.pwd = random(4).hex(), random(12).hex()
        self.valid = False
        """A check was answered."""
        self._random = random
        self._asked: dict[bytes, None] = {}
        self._remote_key = b""
        self._request: list[tuple[int, bytes]] = []

    def set_remote(self, offer: Offer) -> None:
        self._remote_key = offer.pwd.encode()
        role = stun.ICE_CONTROLLING if offer.lite else stun.ICE_CONTROLLED
        self._request = [
            (stun.USERNAME, f"{offer.ufrag}:{self.ufrag}".encode()),
            (role, self._random(8)),
            (stun.PRIORITY, PRIORITY),
        ]
        if offer.lite:
            self._request.append((stun.USE_CANDIDATE, b""))

    def request(self) -> bytes:
        """A check; once one was answered it also renews the server's consent (RFC 7675)."""
        transaction = self._random(12)
        self._asked[transaction] = None
        if len(self._asked) > 64:
            del self._asked[next(iter(self._asked))]
        return stun.write(stun.Kind.REQUEST, stun.BINDING, transaction, self._request, self._remote_key)

    def receive_untrusted(self, data: bytes, address: Address) -> bytes | None:
        """Take a STUN message that came from ``address``; returns the answer if it needs one."""
        message = stun.parse_untrusted(data)
        if message.kind is stun.Kind.SUCCESS:
            authentic = stun.has_integrity(message, data, self._remote_key)
            if message.transaction not in self._asked or not authentic:
                raise BadPacket(Drop.STUN_UNEXPECTED)
            del self._asked[message.transaction]
            self.valid = True
        elif message.kind is stun.Kind.REQUEST:
            key = self.pwd.encode()
            if not stun.has_integrity(message, data, key):
                raise BadPacket(Drop.STUN_INTEGRITY)
            mapped = (stun.XOR_MAPPED_ADDRESS, stun.xor_address(address, message.transaction))
            return stun.write(stun.Kind.SUCCESS, message.method, message.transaction, [mapped], key)
        return None
