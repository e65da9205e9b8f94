"""What is done with a load: hold it, ramp it up, or keep it for long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import Protocol, TypeAlias

import attrs

from sft_load.errors import NO_DESCRIPTORS, LoadError, OwnError
from sft_load.plan import Plan
from sft_load.window import Limits, Moment, Outcome, Verdict, Window, judge

SETTLE_SECONDS = 3.0
SPARE_SECONDS = 30.0
"""More than the joins need by their rate, before we give up."""

FULL = 0.70
"""Share of a core that capacity is told for: the rest is for what calls do all at once."""

Progress: TypeAlias = Callable[[str], None]


@attrs.frozen
class Step:
    """A window and what is to be thought of it."""

    window: Window
    verdict: Verdict


class Processes(Protocol):
    """Who carries the load out: all processes of it."""

    @property
    def plan(self) -> Plan: ...

    def resize(self, total: int) -> None: ...

    def moment(self) -> Moment: ...


class Clock(Protocol):
    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class Campaign:
    """Tells the processes what to do, waits, and judges."""

    def __init__(
        self,
        crews: Processes,
        limits: Limits,
        progress: Progress,
        settle_seconds: float = SETTLE_SECONDS,
        clock: Clock = time,
    ) -> None:
        """``settle_seconds``: how long after the last join nothing is measured yet."""
        self._crews = crews
        self._clock = clock
        self._settle_seconds = settle_seconds
        self._limits = limits
        self._progress = progress

    def gather(self, total: int) -> None:
        """Wait until all of them are in their calls, or as many as there are at any time. LoadError: they do
        not get in. OwnError: through no fault of the server."""
        self._crews.resize(total)
        enough, seconds = self._crews.plan.filling(total)
        end = self._clock.monotonic() + seconds + SPARE_SECONDS
        while (moment := self._crews.moment()).participants < enough:
            failures = moment.figures.failures
            told = ", ".join(f"{reason} ({count})" for reason, count in failures.most_common(3))
            self._progress(f"{moment.participants} of {total} participants{f', failed: {told}' * bool(told)}")
            if self._clock.monotonic() > end or failures.total() > total:
                kind = OwnError if failures[NO_DESCRIPTORS] else LoadError
                raise kind(f"only {moment.participants} of {total} participants: {told or 'no answer'}")
            self._clock.sleep(0.25)
        self._clock.sleep(self._settle_seconds)

    def hold(self, seconds: float) -> Step:
        """Look at what goes on for so long."""
        begin = before = self._crews.moment()
        end = self._clock.monotonic() + seconds
        while (left := end - self._clock.monotonic()) > 0 or before is begin:
            self._clock.sleep(min(1.0, max(0.0, left)))
            moment = self._crews.moment()
            self._progress(self._describe(Window(before, moment), end - self._clock.monotonic()))
            before = moment
        window = Window(begin, before)
        return Step(window, judge(window, self._limits))

    def ramp(self, start: int, step: int, most: int, seconds: float) -> Iterator[Step]:
        """Larger and larger, until the server fails twice in a row, we are the limit, or ``most`` are in."""
        for total in range(start, most + 1, step):
            self.gather(total)
            now = self.hold(seconds)
            if now.verdict.outcome is Outcome.FAILED:
                yield now
                now = self.hold(seconds)  # it was no hiccup
            yield now
            if now.verdict.outcome is not Outcome.PASSED:
                return

    def soak(self, seconds: float, period: float) -> Iterator[Step]:
        """What is there already goes on for so long, in steps."""
        end = self._clock.monotonic() + seconds
        while self._clock.monotonic() < end:
            yield self.hold(period)

    @staticmethod
    def _describe(window: Window, left: float) -> str:
        figures = window.figures
        server = "" if window.server_cpu is None else f", server {window.server_cpu:.0%}"
        return (
            f"{window.participants} participants, {figures.sent / window.seconds:,.0f}/s in, "
            f"{figures.received / window.seconds:,.0f}/s out, loss {figures.loss:.2%}, "
            f"p99 {figures.latency.percentile(0.99) * 1e3:.1f} ms, own CPU {window.own_cpu:.0%}{server}, "
            f"{max(0.0, left):.0f} s left"
        )


def participants_at(steps: Sequence[Step], share: float) -> float | None:
    """How many participants take this share of a core of the server, between two steps that passed."""
    known = [
        (step.window.server_cpu, step.window.participants)
        for step in steps
        if step.window.server_cpu is not None and step.verdict.outcome is Outcome.PASSED
    ]
    for (low, few), (high, many) in pairwise(known):
        if low <= share <= high and high > low:
            return few + (many - few) * (share - low) / (high - low)
    return None


def growth(values: Sequence[float]) -> float:
    """By what share the last quarter lies above the second one; the first is for warming up."""
    quarter = len(values) // 4
    if not quarter:
        return 0.0
    return median(values[-quarter:]) / median(values[quarter : 2 * quarter]) - 1


def judge_soak(steps: Sequence[Step], most: float = 0.05) -> Verdict:
    """Every step passed, and the server's memory and descriptors have not grown."""
    if not steps:
        return Verdict(Outcome.NONE, ("nothing was measured",))
    failed = [step.verdict for step in steps if step.verdict.outcome is Outcome.FAILED]
    faults = [reason for verdict in failed for reason in verdict.reasons]
    usages = [step.window.end.usage for step in steps]
    known = [usage for usage in usages if usage is not None]
    for what, values in (
        ("memory", [float(usage.memory) for usage in known]),
        ("descriptors", [float(usage.descriptors) for usage in known]),
    ):
        if (grown := growth(values)) > most:
            faults.append(f"{what} grew by {grown:.1%}, at most {most:.0%}")
    if faults:
        return Verdict(Outcome.FAILED, tuple(dict.fromkeys(faults)))
    silent = [step for step in steps if step.verdict.outcome is Outcome.NONE]
    if len(silent) * 2 > len(steps):
        return Verdict(Outcome.NONE, tuple(dict.fromkeys(silent[-1].verdict.reasons)))
    return Verdict(Outcome.PASSED)
