"""Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01).

The sender numbers its packets across all streams (header extension id 3); about every 100 ms we tell
it when each arrived. Times go out in units of 250 us, relative to a reference in units of 64 ms.
"""

from __future__ import annotations

import struct

from sft.webrtc.rtcp import RTPFB, TRANSPORT_FORMAT

TICKS = 4000
"""Ticks of 250 us per second."""

REMEMBER = 0.5
"""Seconds an arrival is kept for reports that must reach back behind a late packet."""

MAX_RECEIVED = 400
"""Packets reported as received per feedback packet: keeps it below 1100 bytes."""

MAX_REACH = 2000
"""How many numbers one report spans at most: bounds the work a sender can cause by jumping about."""

_PREFIX = struct.Struct("!BBHIIHHI")
_LOST, _SMALL, _LARGE = 0, 1, 2


class TransportRecorder:
    """What arrived and has not been reported. The packet path appends to ``pending``; nothing else."""

    __slots__ = ("_arrivals", "_count", "_highest", "_newest", "_next", "pending")

    def __init__(self) -> None:
        self.pending: list[tuple[int, float]] = []
        """(16-bit transport-wide sequence number, arrival) since the last feedback."""
        self._arrivals: dict[int, int] = {}  # extended number -> tick
        self._highest: int | None = None
        self._newest = 0  # tick of the last arrival
        self._next = 0  # the first number not reported on yet
        self._count = 0

    def feedback(self, ssrc: int, media: int) -> list[bytes]:
        """Feedback packets for all that is pending: usually one, none if nothing came."""
        if not self.pending:
            return []
        fresh = self._take_pending()
        first, last = min(fresh), max(fresh)
        # What went missing since the last report is reported as lost; what came late makes the report
        # reach back, with the arrivals of the numbers in between said again.
        start = max(min(first, self._next), last - MAX_REACH)
        self._next = max(self._next, last + 1)
        packets = []
        while start <= last:
            packet, start = self._write(ssrc, media, start, last)
            packets.append(packet)
        self._forget()
        return packets

    def _take_pending(self) -> list[int]:
        if self._highest is None:
            self._highest = self._next = self.pending[0][0]
        highest, arrivals, fresh = self._highest, self._arrivals, []
        for sequence, now in self.pending:
            number = highest + ((sequence - highest + 0x8000 & 0xFFFF) - 0x8000)
            if number > highest:
                highest = number
            fresh.append(number)
            arrivals.setdefault(number, int(now * TICKS))
        self._highest = highest
        self._newest = int(self.pending[-1][1] * TICKS)
        self.pending.clear()
        return fresh

    def _forget(self) -> None:
        """Drop arrivals that no late packet will reach back to; the oldest come first."""
        oldest = self._newest - int(REMEMBER * TICKS)
        stale = []
        for number, tick in self._arrivals.items():
            if tick >= oldest:
                break
            stale.append(number)
        for number in stale:
            del self._arrivals[number]

    def _write(self, ssrc: int, media: int, start: int, last: int) -> tuple[bytes, int]:
        """One feedback packet from ``start`` on, and the number the next one starts with."""
        arrivals = self._arrivals
        reference = next(arrivals[number] for number in range(start, last + 1) if number in arrivals) // 256
        previous = reference * 256
        symbols: list[int] = []
        deltas = bytearray()
        received = 0
        number = start
        while number <= last and received < MAX_RECEIVED:
            tick = arrivals.get(number)
            if tick is None:
                symbols.append(_LOST)
            else:
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
            number += 1
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
        return prefix + body, number


def _chunks(symbols: list[int]) -> bytearray:
    """Packet status chunks: runs where they are long, else 14 one-bit or 7 two-bit symbols."""
    chunks = bytearray()
    at, size = 0, len(symbols)
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
    return chunks
