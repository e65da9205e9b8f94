"""When the server has passed, when it has failed, and when nothing is known of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import pytest

from sft_load.errors import NO_DESCRIPTORS
from sft_load.figures import Figures, Sample
from sft_load.histogram import Histogram
from sft_load.window import Limits, Moment, Outcome, Usage, Window, judge

LIMITS = Limits()


def durations(seconds: float, count: int = 1000) -> Histogram:
    made = Histogram()
    for _ in range(count):
        made.add(seconds)
    return made


def figures(**fields: Any) -> Figures:
    """Ten seconds in which all is well."""
    good = Figures(
        sent=10_000, received=99_000, cpu=4.0, slots=1000, latency=durations(0.002), lateness=durations(0.001)
    )
    return attrs.evolve(good, **fields)


def window(*processes: Figures, usage: tuple[Usage, Usage] | None = None) -> Window:
    begin, end = usage or (None, None)
    nothing, some = Figures(), processes or (figures(),)
    return Window(
        Moment(tuple(Sample(100.0, 50, nothing) for _ in some), begin),
        Moment(tuple(Sample(110.0, 50, one) for one in some), end),
    )


def outcome(*processes: Figures) -> Outcome:
    return judge(window(*processes), LIMITS).outcome


def test_a_load_that_goes_through_is_passed() -> None:
    assert judge(window(), LIMITS).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"lost": 600}, "loss 0.60%, at most 0.50%"),
        ({"latency": durations(0.002, 980) + durations(0.090, 20)}, "latency p99 91"),
        ({"silent_slots": 30}, "3.0% of the streams did not come"),
        ({"wrong": 1}, "1 packets were wrong"),
        ({"failures": Counter({"HTTP 429": 3})}, "3 participants failed: HTTP 429 (3)"),
        ({"received": 0}, "nothing was received"),
    ],
)
def test_what_the_server_does_not_hold_fails(fields: dict[str, Any], told: str) -> None:
    verdict = judge(window(figures(**fields)), LIMITS)
    assert verdict.outcome is Outcome.FAILED
    assert told in str(verdict)


@pytest.mark.parametrize(
    "fields", [{"lost": 490}, {"latency": durations(0.002, 991) + durations(0.090, 9)}, {"silent_slots": 19}]
)
def test_what_is_within_the_limits_passes(fields: dict[str, Any]) -> None:
    assert outcome(figures(**fields)) is Outcome.PASSED


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"cpu": 8.1}, "81% of a core"),
        ({"lateness": durations(0.001, 980) + durations(0.050, 20)}, "ms late"),
        ({"kernel_drops": 1}, "did not read 1 packets in time"),
        ({"unsent": 2}, "could not send 2 packets"),
        ({"failures": Counter({NO_DESCRIPTORS: 3})}, "no file descriptor left (ulimit -n): 3 participants"),
    ],
)
def test_who_was_the_bottleneck_itself_gives_no_verdict(fields: dict[str, Any], told: str) -> None:
    """Also when the figures look bad: that may be our own doing."""
    for more in ({}, {"lost": 50_000, "wrong": 1}):
        verdict = judge(window(figures(**more | fields)), LIMITS)
        assert verdict.outcome is Outcome.NONE
        assert told in str(verdict)


def test_one_busy_process_of_several_is_enough() -> None:
    assert outcome(figures(cpu=1.0), figures(cpu=9.0)) is Outcome.NONE
    assert outcome(figures(cpu=7.0), figures(cpu=7.0)) is Outcome.PASSED


def test_processes_are_judged_together() -> None:
    bad = figures(lost=1600)
    assert outcome(bad) is Outcome.FAILED
    assert outcome(bad, figures(), figures(), figures()) is Outcome.PASSED
    assert window(bad, figures()).figures.lost == 1600


def test_other_programs_on_the_servers_machine_leave_no_verdict() -> None:
    begin = Usage(cpu=5.0, memory=0, descriptors=0, busy=1000.0)
    for busy, expected in ((1012.0, Outcome.PASSED), (1013.1, Outcome.NONE)):  # we 4, the server 6
        end = Usage(cpu=11.0, memory=0, descriptors=0, busy=busy)
        seen = window(usage=(begin, end))
        assert seen.server_cpu == pytest.approx(0.6)
        assert seen.others_cpu == pytest.approx((busy - 1010.0) / 10)
        assert judge(seen, LIMITS).outcome is expected


def test_cpu_that_vanishes_with_a_worker_is_not_taken_for_others() -> None:
    begin, end = Usage(500.0, 0, 0, 1000.0), Usage(260.0, 0, 0, 1020.0)
    seen = window(figures(lost=20_000), usage=(begin, end))
    assert (seen.server_cpu, seen.others_cpu) == (None, None)
    assert judge(seen, LIMITS).outcome is Outcome.FAILED


def test_nothing_is_known_where_nothing_was_due() -> None:
    assert outcome(figures(sent=0, received=0, slots=0)) is Outcome.NONE
    failures = Counter({"not in the call within 20 s": 4})
    assert outcome(figures(sent=0, received=0, slots=0, failures=failures)) is Outcome.FAILED


def test_only_what_happened_in_the_window_counts() -> None:
    before, after = figures(lost=5000, cpu=100.0), figures(lost=5001, cpu=104.0, received=198_000)
    seen = Window(Moment((Sample(100.0, 50, before),)), Moment((Sample(110.0, 50, after),)))
    assert seen.figures.lost == 1
    assert seen.own_cpu == pytest.approx(0.4)
