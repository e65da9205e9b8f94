"""STUN: any bytes give a message or BadPacket, and a lite agent answers only what it can authenticate."""

from __future__ import annotations

import random

from sft.errors import BadPacket
from sft.webrtc import stun
from sft.webrtc.ice import LiteAgent, local_ufrag_untrusted

_AGENT = LiteAgent(random.Random(1).randbytes)
_ADDRESS = ("192.0.2.7", 40000)


def fuzz(data: bytes) -> None:
    """Raises only if the code under test misbehaves."""
    try:
        message = stun.parse_untrusted(data)
        authentic = stun.has_integrity(message, data, _AGENT.pwd.encode())
    except BadPacket:
        authentic = False
    try:
        local_ufrag_untrusted(data)
    except BadPacket:
        pass
    try:
        _AGENT.receive_untrusted("base", data, _ADDRESS, 0.0)  # type: ignore[arg-type]  # only handed back
    except BadPacket:
        pass
    if _AGENT.datagrams() and not authentic:
        raise AssertionError("answered what nobody vouched for")


def seeds() -> list[bytes]:
    """Checks as browsers send them, with each of the answers an agent can give."""
    username = stun.USERNAME, f"{_AGENT.ufrag}:peer".encode()
    priority = stun.PRIORITY, bytes.fromhex("6e7e1eff")
    controlling = stun.ICE_CONTROLLING, bytes(8)
    bodies = [
        [username, controlling, priority, (stun.USE_CANDIDATE, b"")],
        [username, (0xC057, bytes(4)), controlling, priority],
        [username, (stun.ICE_CONTROLLED, bytes(8)), priority],
        [username, controlling, (0x7777, b"unknown")],
        [],
    ]
    key = _AGENT.pwd.encode()
    requests = [stun.write(stun.Kind.REQUEST, stun.BINDING, bytes(12), body, key) for body in bodies]
    mapped = stun.XOR_MAPPED_ADDRESS, stun.xor_address(_ADDRESS, bytes(12))
    response = stun.write(stun.Kind.SUCCESS, stun.BINDING, bytes(12), [mapped], b"other")
    return [*requests, response, stun.write(stun.Kind.INDICATION, stun.BINDING, bytes(12), [])]
