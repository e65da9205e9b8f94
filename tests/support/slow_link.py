"""A link with a queue in front of a client without sockets, and what the client says about it.

The client's estimate is modelled after what Chromium was seen to do: none for five seconds unless a queue
grows; then it falls to 0.85 of what arrives, stays until the queue is gone, and rises by 8 % a second, though
never beyond one and a half times what arrives. It counts video only, with padding.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from sft.webrtc import rtcp

OVERHEAD = 28
"""IPv4 and UDP."""

REPORT_SECONDS, REMB_SECONDS = 1.0, 0.2
BLIND_SECONDS = 5.0
LEAST = 10_000
FALL_SECONDS = 0.3
OVERUSE, EASE = 0.06, 0.03
"""Seconds of queue at which the estimate falls, and at which it may rise again."""


@dataclass
class Received:
    """One stream as it arrived."""

    first: int
    highest: int
    packets: int = 0


@dataclass
class SlowLink:
    """``client`` is one of tests/forwarding/conftest.py; ``rate`` in bit/s, ``room`` in seconds of it."""

    client: Any
    rate: float
    room: float = 0.5
    estimates: bool = True
    queue: deque[tuple[float, bytes]] = field(default_factory=deque)
    backlog: int = 0
    streams: dict[int, Received] = field(default_factory=dict)
    dropped: dict[int, int] = field(default_factory=dict)
    """By payload type."""
    passed: dict[int, int] = field(default_factory=dict)
    longest: float = 0.0
    """Seconds, since it was last set to zero."""
    remb: float | None = None
    _credit: float = 0.0
    _arrivals: deque[tuple[float, int]] = field(default_factory=deque)
    _holding: bool = False
    _fall_at: float = 0.0
    _delay: float = 0.0
    _since: float | None = None
    _report_at: float = 0.0
    _remb_at: float = 0.0

    def step(self, now: float, seconds: float) -> None:
        """Let ``seconds`` pass; what was sent meanwhile enters the queue."""
        for datagram, _ in self.client.wire.datagrams:
            self._enter(datagram, now)
        self.client.wire.datagrams.clear()
        self._credit = min(self._credit + self.rate / 8 * seconds, self.rate / 8 * 0.01 + 1500)
        while self.queue and self._credit >= len(self.queue[0][1]) + OVERHEAD:
            entered, datagram = self.queue.popleft()
            size = len(datagram) + OVERHEAD
            self._credit -= size
            self.backlog -= size
            self._delay = now - entered
            self.longest = max(self.longest, self._delay)
            self._arrive(datagram, now)
        if not self.queue:
            self._delay = 0.0
        self._estimate(now, seconds)
        self._report(now)

    def loss(self, payload_type: int) -> float:
        lost = self.dropped.get(payload_type, 0)
        return lost / max(1, lost + self.passed.get(payload_type, 0))

    def _enter(self, datagram: bytes, now: float) -> None:
        size = len(datagram) + OVERHEAD
        kind = datagram[1] & 0x7F
        if self.backlog + size > self.rate / 8 * self.room:
            self.dropped[kind] = self.dropped.get(kind, 0) + 1
        else:
            self.passed[kind] = self.passed.get(kind, 0) + 1
            self.backlog += size
            self.queue.append((now, datagram))

    def _arrive(self, datagram: bytes, now: float) -> None:
        if 192 <= datagram[1] <= 223:
            for packet in rtcp.parse_compound_untrusted(self.client.incoming.unprotect_rtcp(datagram)):
                if isinstance(packet, rtcp.SenderReport):
                    self.client.reported[packet.ssrc] = (packet.ntp >> 16 & 0xFFFFFFFF, now)
            return
        packet = self.client.incoming.unprotect(datagram)
        sequence, ssrc = int.from_bytes(packet[2:4], "big"), int.from_bytes(packet[8:12], "big")
        stream = self.streams.setdefault(ssrc, Received(sequence, sequence - 1))
        step = sequence - stream.highest & 0xFFFF
        stream.highest += step if step < 0x8000 else 0
        stream.packets += 1
        if packet[1] & 0x7F == 100:
            self._since = self._since or now
            self._arrivals.append((now, len(packet) - 24))

    def _estimate(self, now: float, seconds: float) -> None:
        while self._arrivals and self._arrivals[0][0] < now - 0.5:
            self._arrivals.popleft()
        arriving = sum(size for _, size in self._arrivals) * 16
        if self._delay > OVERUSE and now >= self._fall_at and self._since is not None:
            self._holding = True
            self._fall_at = now + FALL_SECONDS
            self.remb = max(LEAST, min(self.remb or arriving, 0.85 * arriving))
        elif self._holding:
            self._holding = self._delay > EASE
        elif self.remb is not None:
            self.remb = max(self.remb, min(self.remb * (1 + 0.08 * seconds), 1.5 * arriving + 10_000))
        elif self._since is not None and now > self._since + BLIND_SECONDS:
            self.remb = max(LEAST, arriving)

    def _report(self, now: float) -> None:
        if self.remb is not None and self.estimates and now >= self._remb_at:
            self._remb_at = now + REMB_SECONDS
            self.client.send_rtcp(rtcp.write_receiver_report(1) + remb(int(self.remb)))
        if now >= self._report_at:
            self._report_at = now + REPORT_SECONDS
            blocks = []
            for ssrc, one in self.streams.items():
                lsr, at = self.client.reported.get(ssrc, (0, now))
                lost = one.highest - one.first + 1 - one.packets
                blocks.append(
                    rtcp.ReportBlock(
                        ssrc, 0, lost, one.highest, 0, lsr, int((now - at) * 65536) if lsr else 0
                    )
                )
            if blocks:
                self.client.send_rtcp(rtcp.write_receiver_report(1, blocks[:31]))


def remb(bitrate: int) -> bytes:
    """A REMB packet (draft-alvestrand-rmcat-remb-03 section 2.2) for one SSRC."""
    exponent = max(0, bitrate.bit_length() - 18)
    word = 1 << 24 | exponent << 18 | bitrate >> exponent
    body = bytes(4) + bytes(4) + b"REMB" + word.to_bytes(4, "big") + bytes(4)
    return bytes((0x8F, 206)) + (len(body) // 4).to_bytes(2, "big") + body
