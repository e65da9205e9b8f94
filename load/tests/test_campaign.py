"""Holding, ramping and soaking, against a server that is a formula, by a clock that nobody waits for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import attrs
import pytest

from sft_load.campaign import Campaign, Step, growth, judge_soak, participants_at
from sft_load.errors import NO_DESCRIPTORS, LoadError, OwnError
from sft_load.figures import Figures, Sample
from sft_load.histogram import Histogram
from sft_load.plan import PRESETS, Layer, Plan, read_layer
from sft_load.window import Limits, Moment, Outcome, Usage, Window, judge

PLAN = Plan(joins_per_second=10.0)


class World:
    """A clock, and a load whose loss and cost depend on its size: ``loss(participants, now)``."""

    def __init__(
        self, loss: Callable[[int, float], float] = lambda participants, now: 0.0, plan: Plan = PLAN
    ) -> None:
        self.plan = plan
        self.now = 0.0
        self.opened = 0.0
        self.refused = 0
        self.reason = "HTTP 429 too many"
        self.leaving = 0.0  # share of those who are in, per second
        self.room = 10_000
        self._total = 0
        self._loss = loss
        self._figures = Figures()
        self._cpu = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        more = seconds * (self.plan.joins_per_second - self.opened * self.leaving)
        self.opened = min(self._total, self.opened + more, self.room)
        if self.opened < self._total and self.opened == self.room:
            self.refused += 1
        count = int(self.opened)
        self._cpu += count * 0.01 * seconds
        due = round(count * 600 * seconds)
        lost = round(due * self._loss(count, self.now))
        latency = Histogram()
        latency.add(0.001)
        self._figures += Figures(
            sent=count, received=due - lost, lost=lost, cpu=0.1 * seconds, latency=latency, lateness=latency
        )

    def resize(self, total: int) -> None:
        self._total = total

    def moment(self) -> Moment:
        failures = Counter({self.reason: self.refused})
        figures = attrs.evolve(self._figures, failures=failures)
        usage = Usage(self._cpu, 100_000_000, 100, self._cpu + figures.cpu)
        return Moment((Sample(self.now, int(self.opened), figures),), usage)

    def campaign(self) -> Campaign:
        return Campaign(self, Limits(), lambda text: None, clock=self)

    def ramp(self, most: int = 500) -> list[Step]:
        return list(self.campaign().ramp(10, 10, most, 5.0))


def test_all_are_in_before_anything_is_measured() -> None:
    world = World()
    campaign = world.campaign()
    campaign.gather(30)
    step = campaign.hold(10.0)
    assert step.window.participants == 30
    assert step.window.seconds == pytest.approx(10.0)
    assert step.verdict.outcome is Outcome.PASSED


def test_who_cannot_get_in_is_told_why() -> None:
    world = World()
    world.room = 20
    with pytest.raises(LoadError, match=r"only 20 of 30 participants: HTTP 429 too many"):
        world.campaign().gather(30)


def test_who_gets_in_no_more_for_want_of_descriptors_is_not_the_servers_fault() -> None:
    world = World()
    world.room, world.reason = 20, NO_DESCRIPTORS
    with pytest.raises(OwnError, match="only 20 of 30 participants: sft-load has no file descriptor left"):
        world.campaign().gather(30)


@pytest.mark.parametrize(
    ("total", "joins", "stay", "pause"),
    [(500, 10, 60, 2), (100, 10, 20, 5), (100, 20, 5, 2), (580, 10, 60, 2)],
)
def test_as_many_get_in_as_can_while_others_leave(
    total: int, joins: float, stay: float, pause: float
) -> None:
    plan = Plan(joins_per_second=joins, stay_seconds=stay, pause_seconds=pause)
    plan.check(total)
    world = World(plan=plan)
    world.leaving = 1 / (plan.mean_stay + pause)  # as from where the flow of joins, too, is counted
    world.campaign().gather(total)
    assert world.opened >= 0.6 * total


def test_those_who_leave_faster_than_others_come_are_no_load() -> None:
    plan = Plan(joins_per_second=10, stay_seconds=60, pause_seconds=2)
    with pytest.raises(LoadError, match="1000 participants who come and go need 16"):
        plan.check(1000)
    Plan(joins_per_second=0.1).check(10_000)  # nobody leaves


def test_a_ramp_ends_where_the_server_loses_twice_in_a_row() -> None:
    steps = World(lambda participants, now: 0.02 if participants > 42 else 0.0).ramp()
    assert [step.window.participants for step in steps] == [10, 20, 30, 40, 50, 50]
    assert [step.verdict.outcome for step in steps[-3:]] == [Outcome.PASSED, Outcome.FAILED, Outcome.FAILED]


def test_one_hiccup_does_not_end_a_ramp() -> None:
    def loss(participants: int, now: float) -> float:
        return 0.5 if participants == 30 and 24 < now < 26 else 0.0

    steps = World(loss).ramp(most=60)
    assert [step.window.participants for step in steps] == [10, 20, 30, 30, 40, 50, 60]


def test_capacity_at_a_share_of_a_core_lies_between_two_steps() -> None:
    steps = World().ramp(most=100)  # each participant takes a hundredth of a core
    at = participants_at(steps, 0.70)
    assert at == pytest.approx(70, abs=1)
    assert participants_at(steps[:3], 0.70) is None


def test_capacity_is_not_told_from_a_step_that_failed() -> None:
    steps = World(lambda participants, now: 0.02 if participants > 65 else 0.0).ramp(most=100)
    assert [step.window.participants for step in steps[-3:]] == [60, 70, 70]
    assert participants_at(steps, 0.65) is None
    assert participants_at(steps, 0.55) is not None


def soaked(memory: Callable[[int], int], steps: int = 40) -> list[Step]:
    moments = []
    for index in range(steps + 1):
        figures = Figures(received=index * 1000, cpu=index * 0.1)
        moments.append(Moment((Sample(index, 50, figures),), Usage(0.0, memory(index), 100, index * 0.1)))
    windows = [Window(*pair) for pair in pairwise(moments)]
    return [Step(window, judge(window, Limits())) for window in windows]


def test_memory_that_warms_up_and_stays_passes() -> None:
    verdict = judge_soak(soaked(lambda index: 200_000_000 - 100_000_000 // (index + 1)))
    assert verdict.outcome is Outcome.PASSED


def test_memory_that_grows_on_fails() -> None:
    verdict = judge_soak(soaked(lambda index: 100_000_000 + index * 500_000))
    assert verdict.outcome is Outcome.FAILED
    assert "memory grew by" in str(verdict)


def test_a_soak_without_a_step_is_no_pass() -> None:
    assert judge_soak([]).outcome is Outcome.NONE


def test_growth_is_of_the_last_quarter_over_the_second() -> None:
    assert growth([9, 10, 10, 12]) == pytest.approx(0.2)
    assert growth([1.0]) == 0.0


def test_the_standard_load_is_what_the_documentation_says() -> None:
    plan = PRESETS["c50"]
    low, high = plan.layers
    assert (plan.per_call, plan.packets_in()) == (50, 235)
    assert plan.heard(5, 50) * plan.audio_rate + plan.tiles * low.rate == 665
    assert [(layer.per_frame, layer.frame_rate) for layer in (low, high)] == [(2, 30), (5, 30)]


def test_layers_are_read_and_refused() -> None:
    assert read_layer("h:150:900") == Layer("h", 150, 900)
    assert read_layer("l:15") == Layer("l", 15, 1000)
    for wrong in ("h", "h:fast", "h:0", "h:10:20", "high:10", "h:10:1000:1"):
        with pytest.raises(LoadError):
            read_layer(wrong)
