"""What a process counts, in values that can be added up over processes and subtracted over time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs

from sft_load.histogram import Histogram


@attrs.define
class Figures:
    """Since the start of the process, or between two moments. Histograms in seconds."""

    joins: int = 0
    """Asked for."""
    opened: int = 0
    left: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)
    """Participants that did not come in or fell out, by reason."""
    sent: int = 0
    received: int = 0
    octets: int = 0
    """Received."""
    checked: int = 0
    """Of the received packets, those that were decrypted and read."""
    lost: int = 0
    reordered: int = 0
    wrong: int = 0
    """Packets that are not what they should be, or to nobody's knowledge, or come twice."""
    unsent: int = 0
    """Our own socket did not take them."""
    kernel_drops: int = 0
    """The kernel dropped them because we did not read in time."""
    slots: int = 0
    """Slot-seconds in which something should have come..."""
    silent_slots: int = 0
    """... and in which nothing did."""
    cpu: float = 0.0
    latency: Histogram = attrs.field(factory=Histogram)
    """From sending a packet to its arrival at a receiver that is checked."""
    lateness: Histogram = attrs.field(factory=Histogram)
    """How long after its time each of our own packets left."""
    opening: Histogram = attrs.field(factory=Histogram)
    """From asking to join to the open data channel."""
    seeing: Histogram = attrs.field(factory=Histogram)
    """From asking to join to the first packet of media."""

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(a + b for a, b in zip(_values(self), _values(other), strict=True)))

    def __sub__(self, other: Figures) -> Figures:
        return Figures(*(a - b for a, b in zip(_values(self), _values(other), strict=True)))

    @property
    def loss(self) -> float:
        """Share of what should have come in the streams that came."""
        return self.lost / max(1, self.received + self.lost)

    @property
    def silence(self) -> float:
        """Share of the streams that should have come and did not."""
        return self.silent_slots / max(1, self.slots)


def _values(figures: Figures) -> list[Any]:
    return [getattr(figures, field.name) for field in attrs.fields(Figures)]


@attrs.frozen
class Sample:
    """One process at one moment."""

    time: float
    participants: int
    """In their calls."""
    figures: Figures
