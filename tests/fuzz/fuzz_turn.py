"""TURN: whatever a server sends, the client stays bounded and raises BadPacket only.

A case is one byte that says where to begin (bit 0: on a stream, bit 1: before the allocation) and then
messages, each with a two-byte length. The transaction ids of waiting requests and the integrity are
put in here, so that mutations reach what lies behind them.
"""

from __future__ import annotations

import random

from sft.errors import BadPacket
from sft.webrtc import stun
from sft.webrtc import turn_messages as messages
from sft.webrtc.turn import MAX_CHANNELS, MAX_PERMISSIONS, TurnClient
from support.turn_server import PASSWORD, USER, TurnServer

PEER = ("192.0.2.7", 5000)
_MESSAGES = 32  # per case, more are ignored


def fuzz(data: bytes) -> None:
    """Raises only if the code under test misbehaves."""
    flags = data[0] if data else 0
    client = _make(stream=bool(flags & 1), allocated=not flags & 2)
    rest, now = data[1:], 10.0
    for _ in range(_MESSAGES):
        size = int.from_bytes(rest[:2], "big")
        message, rest = rest[2 : 2 + size], rest[2 + size :]
        if not message:
            break
        now += 0.1
        for variant in (message, _aimed(client, message)):
            try:
                client.receive_untrusted(variant, now)
            except BadPacket:
                pass
        client.send(b"\x80media", PEER, now)
        client.received()
        if len(client.datagrams()) > 50:
            raise AssertionError("one message made us send more than fifty")
    if len(client._permissions) > MAX_PERMISSIONS or len(client._channels) > MAX_CHANNELS:
        raise AssertionError("peers are not bounded")
    for _ in range(5):
        if client.deadline is not None:
            client.handle_timeout(client.deadline)
    client.close(now)
    if client.deadline is not None:
        raise AssertionError("a timer outlives the client")


def _aimed(client: TurnClient, message: bytes) -> bytes:
    """The message as an answer to the client's newest request, with the integrity it should have."""
    if not client._requests or len(message) < 20:
        return message
    try:
        parsed = stun.parse_untrusted(message)
    except BadPacket:
        return message
    id = next(reversed(client._requests))
    parsed.attributes.pop(stun.MESSAGE_INTEGRITY, None)
    attributes = list(parsed.attributes.items())
    method = client._requests[id].method
    return stun.write(parsed.kind, method, id, attributes, client._key)


def seeds() -> list[bytes]:
    """What a server really says, and each error."""
    client = _make(stream=False, allocated=False)
    server = TurnServer()
    said: list[bytes] = []
    _exchange(client, server, said)
    client.send(b"\x80media", PEER, 2.0)
    _exchange(client, server, said)
    client.send(b"\x80media", PEER, 3.0)
    _exchange(client, server, said)
    said += server.from_peer(b"\x80media", PEER)
    server.channels.clear()
    said += server.from_peer(b"\x80media", PEER)
    errors = [
        stun.write(stun.Kind.ERROR, messages.ALLOCATE, bytes(12), [stun.error_code(code, "no"), *more])
        for code, more in (
            (300, [(messages.ALTERNATE_SERVER, bytes.fromhex("00010d96c0000263"))]),
            (401, [(messages.REALM, b"r"), (messages.NONCE, b"n")]),
            (437, []),
            (438, [(messages.NONCE, b"n2")]),
            (486, []),
            (508, []),
        )
    ]
    return [
        _case(0, said),
        _case(1, said),
        _case(2, said),
        _case(3, said),
        *(_case(flags, [error]) for error in errors for flags in (0, 2)),
    ]


def _case(flags: int, said: list[bytes]) -> bytes:
    return bytes([flags]) + b"".join(len(message).to_bytes(2, "big") + message for message in said)


def _make(*, stream: bool, allocated: bool) -> TurnClient:
    client = TurnClient(USER, PASSWORD, random.Random(1).randbytes, stream=stream)
    client.start(1.0)
    if allocated:
        _exchange(client, TurnServer(stream=stream), [])
    return client


def _exchange(client: TurnClient, server: TurnServer, said: list[bytes]) -> None:
    while sent := client.datagrams():
        for data in sent:
            for answer in server.receive(data, 1.0):
                said.append(answer)
                client.receive_untrusted(answer, 1.0)
