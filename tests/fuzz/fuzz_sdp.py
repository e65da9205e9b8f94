"""Feeds text to the reader of SDP answers: it may raise BadPacket and nothing else."""

from __future__ import annotations

from pathlib import Path

from sft.errors import BadPacket
from sft.signalling.answer import read_answer_untrusted

DATA = Path(__file__).parents[1] / "signalling" / "data"


def seeds() -> list[bytes]:
    """Answers of the real Wire client, whole and cut to their first sections."""
    whole = [path.read_bytes() for path in sorted(DATA.glob("*.sdp"))]
    return [*whole, *(b"\nm=".join(sdp.split(b"\nm=")[:4]) for sdp in whole)]


def fuzz(data: bytes) -> None:
    try:
        answer = read_answer_untrusted(data.decode(errors="replace"))
    except BadPacket:
        return
    assert any(algorithm == "sha-256" for algorithm, _ in answer.fingerprints)
    assert all(0 < candidate.port < 65536 for candidate in answer.candidates)
