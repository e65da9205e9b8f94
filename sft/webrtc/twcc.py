"""Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

The sender numbers its packets across all streams (header extension id 3); from time to time we tell it when
each arrived. Times go out in units of 250 us, relative to a reference in units of 64 ms.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence

from sft.webrtc.rtcp import RTPFB, TRANSPORT_FORMAT

TICKS = 4000
"""Ticks of 250 us per second."""

ENOUGH = 3
"""Arrivals that are worth a feedback of their own."""

START_SECONDS = 2.0
"""Each arrival is, so long after the first one: libwebrtc probes for bandwidth then with little else to send
and soon gives up what it is not told of."""

MAX_AGE = 0.25
"""Seconds within which an arrival is told whatever it is worth: the longest interval of libwebrtc's own
receivers."""

REMEMBER = 0.5
"""Seconds an arrival is kept for reports that must reach back behind a late packet."""

MAX_RECEIVED = 400
"""Packets reported as received per feedback packet: keeps it below 1100 bytes."""

MAX_REACH = 2000
"""How many numbers one report spans at most: bounds the work a sender can cause by jumping about."""

_PREFIX = struct.Struct("!BBHIIHHI")
_CHUNK = struct.Struct("!H")
_LOST, _SMALL, _LARGE = 0, 1, 2


class TransportRecorder:
    """What arrived and has not been reported. The packet path appends to ``pending``; nothing else."""

    __slots__ = ("_count", "_kept", "_next", "_start_ends", "pending")

    def __init__(self) -> None:
        self.pending: list[tuple[int, float]] = []
        """(16-bit transport-wide sequence number, arrival) since the last feedback."""
        self._next: int | None = None  # the first number not reported on yet, extended
        self._kept: deque[tuple[int, dict[int, int]]] = deque()
        """Of the last feedbacks: (newest tick, extended number -> tick)."""
        self._count = 0
        self._start_ends: float | None = None

    def is_due(self, now: float, period: float) -> bool:
        """Whether to tell what is pending now rather than in ``period`` seconds."""
        pending = self.pending
        if not pending:
            return False
        if self._start_ends is None:
            self._start_ends = pending[0][1] + START_SECONDS
        return len(pending) >= ENOUGH or now < self._start_ends or now + period > pending[0][1] + MAX_AGE

    def feedback(self, ssrc: int, media: int) -> list[bytes]:
        """Feedback packets for all that is pending: usually one, none if nothing came."""
        if not self.pending:
            return []
        start, ticks = self._take_pending()
        packets = []
        while ticks:
            packet, count = self._write(ssrc, media, start, ticks)
            packets.append(packet)
            start += count
            ticks = ticks[count:]
        return packets

    def _take_pending(self) -> tuple[int, Sequence[int | None]]:
        """The first number to report on, and when it and those behind it came; None: not yet."""
        pending = self.pending
        start = number = pending[0][0] if self._next is None else self._next
        ticks = [int(now * TICKS) for _, now in pending]
        told: Sequence[int | None] = ticks
        for sequence, _ in pending:
            if sequence != number & 0xFFFF:
                start, told, fresh = self._reach(start, ticks)
                break
            number += 1
        else:
            self._next = number
            fresh = dict(enumerate(ticks, start))
        kept = self._kept
        while kept and kept[0][0] < ticks[-1] - REMEMBER * TICKS:
            kept.popleft()
        kept.append((ticks[-1], fresh))
        pending.clear()
        return start, told

    def _reach(self, start: int, ticks: Sequence[int]) -> tuple[int, Sequence[int | None], dict[int, int]]:
        """The same, and the news of it, when not all has come, or not in order. What went missing since the
        last report is told as lost; what came late makes the report reach back, with the arrivals of the
        numbers in between said again."""
        highest = start - 1
        fresh: dict[int, int] = {}
        for (sequence, _), tick in zip(self.pending, ticks, strict=True):
            number = highest + ((sequence - highest + 0x8000 & 0xFFFF) - 0x8000)
            highest = max(highest, number)
            fresh.setdefault(number, tick)
        self._next = highest + 1
        last = max(fresh)
        start = max(min(start, min(fresh)), last - MAX_REACH)
        arrivals = dict(fresh)
        for _, before in reversed(self._kept):
            arrivals |= before
        return start, [arrivals.get(number) for number in range(start, last + 1)], fresh

    def _write(self, ssrc: int, media: int, start: int, ticks: Sequence[int | None]) -> tuple[bytes, int]:
        """One feedback packet from the number ``start`` on, and how many of the ticks it tells."""
        reference = next(tick for tick in ticks if tick is not None) // 256
        previous = reference * 256
        symbols: list[int] = []
        deltas = bytearray()
        received = 0
        for tick in ticks:
            if tick is None:
                symbols.append(_LOST)
                continue
            delta = tick - previous
            if 0 <= delta <= 255:
                symbols.append(_SMALL)
                deltas.append(delta)
            elif -0x8000 <= delta <= 0x7FFF:
                symbols.append(_LARGE)
                deltas += delta.to_bytes(2, "big", signed=True)
            else:  # more than 8 s apart: the next packet gets a reference of its own
                break
            previous = tick
            received += 1
            if received == MAX_RECEIVED:
                break
        body = _chunks(symbols) + deltas
        padding = -len(body) % 4
        if padding:
            body += bytes(padding - 1) + bytes((padding,))
        prefix = _PREFIX.pack(
            0x80 | (0x20 if padding else 0) | TRANSPORT_FORMAT,
            RTPFB,
            4 + len(body) // 4,
            ssrc,
            media,
            start & 0xFFFF,
            len(symbols),
            (reference & 0xFFFFFF) << 8 | self._count,
        )
        self._count = self._count + 1 & 0xFF
        return prefix + body, len(symbols)


def _chunks(symbols: list[int]) -> bytes:
    """Packet status chunks: runs where they are long, else 14 one-bit or 7 two-bit symbols."""
    size = len(symbols)
    if symbols.count(symbols[0]) == size:
        return _CHUNK.pack(symbols[0] << 13 | size)
    chunks = bytearray()
    at = 0
    while at < size:
        symbol = symbols[at]
        run = at + 1
        while run < size and symbols[run] == symbol:
            run += 1
        run -= at
        ahead = symbols[at : at + 14]
        if run >= 14 or run == size - at:
            chunk, taken = symbol << 13 | run, run
        elif _LARGE not in ahead:
            chunk, taken = 0x8000, 14
            for place, one in enumerate(ahead):
                chunk |= one << 13 - place
        elif run >= 7:
            chunk, taken = symbol << 13 | run, run
        else:
            chunk, taken = 0xC000, 7
            for place, two in enumerate(ahead[:7]):
                chunk |= two << 12 - 2 * place
        chunks += chunk.to_bytes(2, "big")
        at += taken
    return bytes(chunks)
