"""Which packets tell whom a slot shows, by the header alone."""

from __future__ import annotations

import pytest

from sft_load.reception import Reception

SSRC, SHOWN = 5, 77


class Batch:
    """As it comes from the socket: one datagram."""

    def __init__(self, first: int, csrc: int) -> None:
        self._first = first
        self._csrc = csrc

    def headers(self, count: int) -> list[tuple[int, int, int, int]]:
        return [(self._first, 100, 1, SSRC)]

    def lengths(self, count: int) -> list[tuple[int]]:
        return [(1000,)]

    def source(self, index: int) -> int:
        return self._csrc


@pytest.mark.parametrize(
    ("first", "seen"),
    [(0x91, SHOWN), (0x81, SHOWN), (0x90, 0), (0xB1, 0)],
    ids=["media", "without extension", "without a name", "padding, which a server sends under any name"],
)
def test_media_tells_whom_a_slot_shows(first: int, seen: int) -> None:
    reception = Reception(None)
    reception.offer([], [SSRC])
    assert reception.take(Batch(first, SHOWN), 1, 0.0) == []
    (slot,) = reception.video
    assert (reception.packets, slot.highest, slot.look()) == (1, 1, seen)
