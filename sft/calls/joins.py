"""How joins went: how many ended in which way, and how long each phase took.

One join is one connection, as in :mod:`sft.signalling.join`; the time of a phase is what it added to the
join: a path that stood before the answer came added nothing.
"""

from __future__ import annotations

from enum import StrEnum

from sft.histogram import Distribution, Histogram
from sft.model import PhaseRecord


class Phase(StrEnum):
    """In the order in which they are reckoned."""

    HTTP = "http"
    """From the offer to the client's answer."""
    ICE = "ice"
    DTLS = "dtls"
    CHANNEL = "channel"
    """Until the data channel is open: the participant is in the call."""
    MEDIA = "media"
    """Until its first packet of media. Not part of the join's outcome: it may have nothing to send."""


class Outcome(StrEnum):
    """How a join ended that was answered with an offer."""

    ESTABLISHED = "established"
    NO_ANSWER = "no_answer"
    NO_PATH = "no_path"
    NO_HANDSHAKE = "no_handshake"
    NO_CHANNEL = "no_channel"
    ABANDONED = "abandoned"
    """The participant left or asked for another connection before, or the server stopped."""


_PHASES = tuple(Phase)
_FAILURES = {
    Phase.HTTP: Outcome.NO_ANSWER,
    Phase.ICE: Outcome.NO_PATH,
    Phase.DTLS: Outcome.NO_HANDSHAKE,
    Phase.CHANNEL: Outcome.NO_CHANNEL,
}

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds; the timers of a join end it after ten each."""

MEDIA_SECONDS = 10.0
"""How long the first packet of media is waited for; later it is not the join's. Many have nothing to send."""


class JoinCounters:
    """One per worker."""

    __slots__ = ("outcomes", "phases")

    def __init__(self) -> None:
        self.outcomes: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self.phases: dict[Phase, Histogram] = {phase: Histogram(BOUNDS) for phase in Phase}

    def read_phases(self) -> dict[str, Distribution]:
        return {phase.value: histogram.read() for phase, histogram in self.phases.items()}


class JoinClock:
    """One join: when it got how far."""

    __slots__ = ("_began", "_closed", "_counters", "_done", "_heard", "_last", "_times", "ended", "outcome")

    def __init__(self, counters: JoinCounters, now: float) -> None:
        self._counters = counters
        self._began = self._last = now
        self._heard: float | None = None
        self._times: dict[Phase, float] = {}
        self._done = 0  # phases reckoned
        self._closed = False
        self.outcome: Outcome | None = None
        self.ended = now
        """When it had an outcome."""

    def heard(self, now: float) -> None:
        """An authenticated word of the client came, the first of which begins its ICE."""
        if self._heard is None:
            self._heard = now

    def reached(self, phase: Phase, now: float) -> None:
        """The phase is over; only the first time counts. A later phase may be over before an earlier one."""
        if phase is Phase.MEDIA and self.is_settled(now):
            return  # it had nothing to send at first
        self._times.setdefault(phase, now)
        while self._done < len(_PHASES) and (when := self._times.get(_PHASES[self._done])) is not None:
            self._counters.phases[_PHASES[self._done]].observe(max(0.0, when - self._last))
            self._last = max(when, self._last)
            self._done += 1
        if phase is Phase.CHANNEL:
            self._end(Outcome.ESTABLISHED, now)

    def closed(self, now: float) -> None:
        """The connection ended; if that was before it was established, the join failed."""
        self._closed = True
        if self.outcome is None:
            self._end(_FAILURES[_PHASES[self._done]], now)

    def abandoned(self, now: float) -> None:
        """It is not wanted any more."""
        self._end(Outcome.ABANDONED, now)

    def is_settled(self, now: float) -> bool:
        """Whether nothing more is to come of it."""
        if self.outcome is None:
            return False
        return self._closed or Phase.MEDIA in self._times or now >= self.ended + MEDIA_SECONDS

    def phases(self, shift: float) -> list[PhaseRecord]:
        """When each began and ended, with the one in which the join ended. ``shift``: of our times to theirs.

        Other than the histograms, which tell what each phase added, this tells when it really was: ICE begins
        with the client's first check, or with its answer.
        """
        times, answered = self._times, self._times.get(Phase.HTTP)
        begins = {
            Phase.HTTP: self._began,
            Phase.ICE: answered if self._heard is None else min(self._heard, answered or self._heard),
            Phase.DTLS: times.get(Phase.ICE),
            Phase.CHANNEL: times.get(Phase.DTLS),
            Phase.MEDIA: times.get(Phase.DTLS),
        }
        records = []
        for phase, began in begins.items():
            done = phase in times
            if began is None or (not done and phase is Phase.MEDIA):
                continue
            ended = times.get(phase, self.ended)
            began = min(began, ended)
            records.append(
                PhaseRecord(phase=phase.value, began=began + shift, ended=ended + shift, done=done)
            )
        return records

    def _end(self, outcome: Outcome, now: float) -> None:
        if self.outcome is None:
            self.outcome, self.ended = outcome, now
            self._counters.outcomes[outcome] += 1
