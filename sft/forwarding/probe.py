"""Padding that finds out whether a way carries more, before media depends on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.webrtc.rtp import MAX_PADDING, PAYLOAD_VIDEO, write_padding

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint

PACE = 0.02
"""Seconds between two bursts of padding: a few packets each, so that they make no queue by themselves."""

RAMP_SECONDS = 11.0
MIN_SLOPE = 20_000.0
"""The rate rises by this part of its goal per second, and by no less bit/s: slowly enough for the receiver's
estimate to tell before a queue has become long."""

PROVE_SECONDS = 1.5
"""How long the goal is held."""

TOLERANCE_SECONDS = 3.0
"""How much later the goal may be reached than planned; padding may have found no place."""

MAX_BURST = 20
"""Packets at once: two Mbit/s."""

SMOOTH_SECONDS = 0.2
"""How long less padding makes up for a burst of media, and more of it for a pause."""


class Probe:
    """One attempt: what is sent in all rises from ``base`` to the goal, padding makes up the difference."""

    __slots__ = ("_at", "_base", "_credit", "_octets", "_pace", "began", "goal")

    def __init__(self, base: float, goal: float, octets: int, now: float, *, pace: float = 1.0) -> None:
        """``base`` and ``goal`` in bit/s; ``octets`` were sent in all so far. ``pace``: how fast it rises,
        1 for a receiver that soon tells of a queue."""
        self._pace = pace
        self.began = now
        self.goal = goal
        self._base = base
        self._at = now
        self._octets = octets
        self._credit = 0.0

    def rate(self, now: float) -> float:
        """Bit/s to send in all."""
        return min(self.goal, self._base + self._slope * (now - self.began))

    def is_proven(self, now: float) -> bool:
        """Whether the goal has been held for long enough."""
        return now >= self._end

    def is_over(self, now: float) -> bool:
        """Whether it has been held for so long that no more is to be learned."""
        return now >= self._end + TOLERANCE_SECONDS

    @property
    def _end(self) -> float:
        return self.began + (self.goal - self._base) / self._slope + PROVE_SECONDS

    @property
    def _slope(self) -> float:
        return max(self.goal / RAMP_SECONDS, MIN_SLOPE) * self._pace

    def due(self, octets: int, now: float) -> int:
        """Packets of padding to send now. ``octets`` were sent in all so far, padding included."""
        share = self.rate(now) / 8 * (now - self._at)
        self._credit += share - (octets - self._octets)
        self._at, self._octets = now, octets
        # Media comes in bursts: what it is ahead or behind is made good for, but not for long.
        most = self.goal / 8 * SMOOTH_SECONDS
        self._credit = max(-most, min(self._credit, most))
        return max(0, min(MAX_BURST, int(self._credit / MAX_PADDING)))


def send_padding(receiver: Endpoint, count: int, now: float) -> None:
    """Send so many packets of padding, if there is a slot that can carry them now. Better one without a
    source: its numbers are nobody else's."""
    slots = sorted(receiver.video_slots, key=lambda slot: slot.source is not None)
    slot = next((slot for slot in slots if slot.may_be_padded), None)
    if not count or slot is None or slot.engine_slot is None:
        return
    first, timestamp = slot.pad(count)
    for sequence in range(first, first + count):
        packet = write_padding(PAYLOAD_VIDEO, sequence & 0xFFFF, timestamp, now)
        receiver.engine.repeat(slot.engine_slot, packet, slot.ssrc, sequence & 0xFFFF, timestamp)
    receiver.padding += count * MAX_PADDING
