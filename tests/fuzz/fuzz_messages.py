"""Feeds bytes to the reader of messages: it may raise BadPacket and nothing else."""

from __future__ import annotations

from pathlib import Path

from sft.errors import BadPacket
from sft.signalling.messages import decode_untrusted, encode

DATA = Path(__file__).parents[1] / "signalling" / "data"


def seeds() -> list[bytes]:
    """The messages of the protocol document and of a real call."""
    return [
        line
        for name in ("messages.jsonl", "transcript.jsonl")
        for line in (DATA / name).read_bytes().splitlines()
    ]


def fuzz(data: bytes) -> None:
    try:
        message = decode_untrusted(data)
    except BadPacket:
        return
    again = encode(message)
    assert decode_untrusted(again.encode(), max_bytes=len(data) * 6 + 1000) == message
