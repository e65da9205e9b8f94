"""A stretch of a load, from one moment to another, and what it says of the server."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from functools import reduce
from operator import add

import attrs

from sft_load.errors import NO_DESCRIPTORS
from sft_load.figures import Figures, Sample


@attrs.frozen
class Usage:
    """The server's processes together at one moment, and all of the machine."""

    cpu: float
    memory: int
    descriptors: int
    busy: float


@attrs.frozen
class Moment:
    """All of our processes, and the server's if they are on this machine."""

    samples: tuple[Sample, ...]
    usage: Usage | None = None

    @property
    def participants(self) -> int:
        return sum(sample.participants for sample in self.samples)

    @property
    def figures(self) -> Figures:
        return reduce(add, (sample.figures for sample in self.samples))


@attrs.frozen
class Window:
    begin: Moment
    end: Moment

    @property
    def seconds(self) -> float:
        """As long as the shortest of our processes has seen it."""
        return min(after.time - before.time for before, after in self._pairs())

    @property
    def participants(self) -> int:
        return self.end.participants

    @property
    def figures(self) -> Figures:
        return self.end.figures - self.begin.figures

    @property
    def own_cpu(self) -> float:
        """Share of a core of our busiest process."""
        return max(
            (after.figures.cpu - before.figures.cpu) / (after.time - before.time)
            for before, after in self._pairs()
        )

    @property
    def server_cpu(self) -> float | None:
        """Cores."""
        used = self._server_seconds
        return None if used is None else used / self.seconds

    @property
    def others_cpu(self) -> float | None:
        """Cores that other programs on this machine used; known if the server's are."""
        theirs, begin, end = self._server_seconds, self.begin.usage, self.end.usage
        if theirs is None or begin is None or end is None:
            return None
        ours = sum(after.figures.cpu - before.figures.cpu for before, after in self._pairs())
        return max(0.0, end.busy - begin.busy - ours - theirs) / self.seconds

    @property
    def _server_seconds(self) -> float | None:
        """Of CPU. None: it is not known, also because a worker ended that nobody has waited for, and took
        what it had used with it."""
        if self.begin.usage is None or self.end.usage is None:
            return None
        used = self.end.usage.cpu - self.begin.usage.cpu
        return used if used >= 0 else None

    def _pairs(self) -> Sequence[tuple[Sample, Sample]]:
        return list(zip(self.begin.samples, self.end.samples, strict=True))


@attrs.frozen(kw_only=True)
class Limits:
    """What the server may do at most, and what we may use before we say nothing of it."""

    loss: float = 0.005
    latency: float = 0.050
    """Seconds, of 99 % of all packets."""
    silence: float = 0.02
    """Share of the streams that should have come."""
    own_cpu: float = 0.80
    """Share of a core, of our busiest process."""
    lateness: float = 0.020
    """Seconds, of 99 % of our own packets."""
    others_cpu: float = 0.25
    """Cores."""


class Outcome(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    NONE = "none"
    """We were the bottleneck, or the machine was busy: nothing is known of the server."""


@attrs.frozen
class Verdict:
    outcome: Outcome
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ": ".join([self.outcome.value, *filter(None, ["; ".join(self.reasons)])])


def judge(window: Window, limits: Limits) -> Verdict:
    if objections := _objections(window, limits):
        return Verdict(Outcome.NONE, tuple(objections))
    if faults := _faults(window, limits):
        return Verdict(Outcome.FAILED, tuple(faults))
    if not window.figures.received:
        return Verdict(Outcome.NONE, ("nothing was to be received",))
    return Verdict(Outcome.PASSED)


def _objections(window: Window, limits: Limits) -> list[str]:
    """Why we may have been the bottleneck."""
    figures, reasons = window.figures, []
    if window.own_cpu > limits.own_cpu:
        reasons.append(f"sft-load used {window.own_cpu:.0%} of a core: more --processes, or another machine")
    late = figures.lateness.percentile(0.99)
    if late > limits.lateness:
        reasons.append(f"sft-load sent 1 % of its packets {late * 1e3:.1f} ms late, or more")
    if figures.kernel_drops:
        reasons.append(f"sft-load did not read {figures.kernel_drops} packets in time")
    if figures.unsent:
        reasons.append(f"sft-load could not send {figures.unsent} packets")
    if short := figures.failures[NO_DESCRIPTORS]:
        reasons.append(f"{NO_DESCRIPTORS}: {short} participants failed")
    if window.others_cpu is not None and window.others_cpu > limits.others_cpu:
        reasons.append(f"other programs used {window.others_cpu:.2f} cores")
    return reasons


def _faults(window: Window, limits: Limits) -> list[str]:
    figures, reasons = window.figures, []
    if figures.sent and figures.slots and not figures.received:
        reasons.append("nothing was received")
    if figures.loss > limits.loss:
        reasons.append(f"loss {figures.loss:.2%}, at most {limits.loss:.2%}")
    late = figures.latency.percentile(0.99)
    if late > limits.latency:
        reasons.append(f"latency p99 {late * 1e3:.1f} ms, at most {limits.latency * 1e3:.0f} ms")
    if figures.silence > limits.silence:
        reasons.append(f"{figures.silence:.1%} of the streams did not come, at most {limits.silence:.1%}")
    if figures.wrong:
        reasons.append(f"{figures.wrong} packets were wrong")
    if failed := figures.failures.total():
        common = ", ".join(f"{reason} ({count})" for reason, count in figures.failures.most_common(3))
        reasons.append(f"{failed} participants failed: {common}")
    return reasons
