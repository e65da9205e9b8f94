"""A sender's wall clock in terms of ours, so that a slot's sender reports never jump between clocks."""

from __future__ import annotations

from collections import deque

from sft.webrtc.rtcp import SenderReport, unix_from_ntp

SAMPLES = 16
"""Sender reports the smallest transit is taken of: about eight seconds of audio and video."""


class ParticipantClock:
    """One per participant: its audio and video share a clock, so they stay in sync."""

    __slots__ = ("_samples", "offset")

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES)
        self.offset: float | None = None
        """Seconds to add to the participant's NTP time to get our wall clock; the smallest of the last
        samples, because what is added to it is delay."""

    def observe(self, report: SenderReport, wall: float) -> None:
        """A sender report came at ``wall`` (Unix seconds of our own clock)."""
        self._samples.append(wall - unix_from_ntp(report.ntp))
        self.offset = min(self._samples)
