"""The full ICE agent: any bytes are taken, or refused with BadPacket, and its tables stay bounded.

A case is messages, each with a two-byte length; a message that parses is also tried with the transaction id
of a waiting check and the integrity it should have.
"""

from __future__ import annotations

import random
from typing import Any

from sft.errors import BadPacket
from sft.model import Candidate
from sft.webrtc import stun
from sft.webrtc.ice import MAX_PATHS, FullAgent

BASE: Any = "base"
ADDRESS = ("192.0.2.7", 40000)
PWD = "remote-password-remote-pw"
_MESSAGES = 32


def _make() -> FullAgent:
    agent = FullAgent(random.Random(1).randbytes)
    agent.set_local([(BASE, Candidate("1", "udp", 1 << 24, "192.0.2.1", 1))])
    agent.set_remote("peer", PWD, [Candidate("1", "udp", 1 << 24, *ADDRESS)], 1.0)
    return agent


def fuzz(data: bytes) -> None:
    """Raises only if the code under test misbehaves."""
    agent, now = _make(), 1.0
    agent.datagrams()
    for number in range(_MESSAGES):
        size = int.from_bytes(data[:2], "big")
        message, data = data[2 : 2 + size], data[2 + size :]
        if not message:
            break
        now += 0.1
        for variant in (message, _aimed(agent, message)):
            try:
                agent.receive_untrusted(BASE, variant, (ADDRESS[0], ADDRESS[1] + number % 3), now)
            except BadPacket:
                pass
        agent.datagrams()
        if agent.deadline is not None:
            agent.handle_timeout(agent.deadline)
    if len(agent._list.pairs) > MAX_PATHS + 2 or len(agent._checks) > 100:
        raise AssertionError("pairs or checks are not bounded")


def _aimed(agent: FullAgent, message: bytes) -> bytes:
    try:
        parsed = stun.parse_untrusted(message)
    except BadPacket:
        return message
    parsed.attributes.pop(stun.MESSAGE_INTEGRITY, None)
    attributes = list(parsed.attributes.items())
    if parsed.kind in (stun.Kind.SUCCESS, stun.Kind.ERROR):
        id = next(reversed(agent._checks), parsed.transaction)
        return stun.write(parsed.kind, stun.BINDING, id, attributes, PWD.encode())
    return stun.write(parsed.kind, parsed.method, parsed.transaction, attributes, agent.pwd.encode())


def seeds() -> list[bytes]:
    """A session's messages: checks in both roles, answers, errors."""
    agent = _make()
    user = stun.USERNAME, f"{agent.ufrag}:peer".encode()
    priority = stun.PRIORITY, bytes.fromhex("6e7e1eff")
    request, success, error = stun.Kind.REQUEST, stun.Kind.SUCCESS, stun.Kind.ERROR
    mapped = stun.XOR_MAPPED_ADDRESS, stun.xor_address(ADDRESS, bytes(12))
    said = [
        (request, [user, priority, (stun.ICE_CONTROLLED, bytes(8))]),
        (success, [mapped]),
        (request, [user, priority, (stun.ICE_CONTROLLING, b"\xff" * 8), (stun.USE_CANDIDATE, b"")]),
        (request, [user, priority, (stun.ICE_CONTROLLING, bytes(8))]),
        (error, [stun.error_code(487, "Role Conflict")]),
        (error, [stun.error_code(400, "Bad Request")]),
        (request, [user, priority, (0x7777, b"unknown")]),
        (stun.Kind.INDICATION, []),
    ]
    written = [stun.write(kind, stun.BINDING, bytes(12), list(body)) for kind, body in said]
    return [_case(written), _case(written[::-1]), *(_case([one] * 4) for one in written)]


def _case(said: list[bytes]) -> bytes:
    return b"".join(len(message).to_bytes(2, "big") + message for message in said)
