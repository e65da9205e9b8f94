"""The pace of what is sent, by a clock that the test moves."""

from __future__ import annotations

import pytest

from sft.calls.timers import TimerHeap
from sft_load.flow import Flow
from sft_load.histogram import Histogram


class World:
    """A fleet's clock, and one flow on it."""

    def __init__(self, rate: float) -> None:
        self.timers = TimerHeap()
        self.lateness = Histogram()
        self.now = 100.0
        self.sent: list[float] = []
        self.flow = Flow(self, lambda: self.sent.append(self.now), rate)

    def at(self, now: float) -> None:
        self.now = now
        self.timers.run_due(now)

    def run(self, seconds: float, turn: float) -> None:
        for _ in range(round(seconds / turn)):
            self.at(self.now + turn)


@pytest.mark.parametrize("rate", [25.0, 30.0, 60.0, 150.0, 999.0])
@pytest.mark.parametrize("turn", [0.001, 0.005, 0.020])
def test_the_rate_is_kept_however_long_a_turn_is(rate: float, turn: float) -> None:
    world = World(rate)
    world.flow.start(world.now, 0.5)
    world.run(10, turn)
    assert abs(len(world.sent) - 10 * rate) <= rate * turn + 1
    assert world.lateness.percentile(1.0) <= turn * 1.05


def test_the_phase_is_when_the_first_one_leaves() -> None:
    world = World(10.0)
    world.flow.start(world.now, 0.5)
    world.at(100.049)
    assert not world.sent
    world.at(100.051)
    assert len(world.sent) == 1


def test_what_is_late_is_sent_and_told() -> None:
    world = World(100.0)
    world.flow.start(world.now, 0.0)
    world.at(100.0)
    world.at(100.305)
    assert len(world.sent) == 31
    assert 0.28 <= world.lateness.percentile(0.99) <= 0.31


def test_what_is_very_late_is_left_out_and_told() -> None:
    world = World(100.0)
    world.flow.start(world.now, 0.0)
    world.at(105.005)
    assert len(world.sent) == 1
    assert world.lateness.total == 501  # each that was left out is as late as it would have been
    assert 4.8 <= world.lateness.percentile(0.99) <= world.lateness.percentile(1.0) <= 5.3


def test_a_flow_that_is_stopped_sends_no_more() -> None:
    world = World(100.0)
    world.flow.start(world.now, 0.0)
    world.flow.stop()
    world.run(1, 0.01)
    assert not world.sent
