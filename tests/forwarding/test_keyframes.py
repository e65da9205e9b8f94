"""The gate by itself, with a clock that only moves when told."""

from __future__ import annotations

import pytest

from sft.forwarding.keyframes import BLIND_REPEATS, MAX_INTERVAL, THROTTLE, Cause, KeyframeGate


class Source:
    """What the gate sees of a source."""

    def __init__(self, described: bool = True) -> None:
        self.described = described
        self.watched = False
        self.asked = float("-inf")
        self.arrival = 0.0
        self.slots = {"slot": None}
        self.waiting = {}


class Bench:
    def __init__(self) -> None:
        self.now = 100.0
        self.asked: list[float] = []
        self.gate = KeyframeGate(self._ask, lambda when: None, dict.fromkeys(Cause, 0))

    def _ask(self, source: Source) -> None:
        self.asked.append(self.now)

    def run(self, source: Source, seconds: float) -> None:
        """Tick every 50 ms while the source keeps sending."""
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            source.arrival = self.now
            self.gate.tick(self.now)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def wish(bench: Bench, source: Source, cause: Cause = Cause.RECEIVER_PLI) -> None:
    source.arrival = bench.now
    bench.gate.request(source, cause, bench.now)


def test_a_hundred_wishes_at_once_are_one_request(bench) -> None:
    source = Source()
    for _ in range(100):
        wish(bench, source)
    assert bench.asked == [100.0]
    assert bench.gate.causes[Cause.RECEIVER_PLI] == 100


def test_requests_keep_their_distance_even_after_a_keyframe(bench) -> None:
    source = Source()
    for _ in range(200):
        wish(bench, source)
        bench.run(source, 0.05)
        bench.gate.forwarded(source)
    gaps = [b - a for a, b in zip(bench.asked, bench.asked[1:], strict=False)]
    assert bench.asked
    assert min(gaps) >= THROTTLE - 1e-6


def test_repeats_back_off_and_end_with_the_keyframe(bench) -> None:
    source = Source()
    wish(bench, source)
    bench.run(source, 12)
    gaps = [round(b - a, 1) for a, b in zip(bench.asked, bench.asked[1:], strict=False)]
    assert gaps[:3] == [0.5, 1.0, 2.0]
    assert max(gaps) == MAX_INTERVAL
    count = len(bench.asked)
    bench.gate.forwarded(source)
    assert not source.watched
    bench.run(source, 12)
    assert len(bench.asked) == count


def test_a_new_wish_brings_a_backed_off_repeat_forward(bench) -> None:
    source = Source()
    wish(bench, source)
    bench.run(source, 4.5)
    count = len(bench.asked)
    wish(bench, source)
    assert len(bench.asked) == count + 1


def test_where_nobody_can_see_keyframes_the_repeats_are_bounded(bench) -> None:
    source = Source(described=False)
    wish(bench, source)
    bench.run(source, 30)
    assert len(bench.asked) == BLIND_REPEATS


def test_what_nobody_wants_any_more_is_not_asked_for(bench) -> None:
    source = Source()
    wish(bench, source)
    source.slots.clear()
    bench.run(source, 5)
    assert len(bench.asked) == 1


def test_a_source_that_fell_asleep_is_left_alone(bench) -> None:
    source = Source()
    wish(bench, source)
    for _ in range(100):
        bench.now += 1
        bench.gate.tick(bench.now)
    assert bench.asked[-1] <= 111
