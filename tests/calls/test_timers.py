from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.calls.timers import TimerHeap


def test_timers_fire_in_order_of_their_deadlines() -> None:
    heap, fired = TimerHeap(), []
    for when in (3.0, 1.0, 2.0):
        heap.call_at(when, lambda now, when=when: fired.append(when))
    heap.run_due(2.5)
    assert fired == [1.0, 2.0]
    assert heap.next_deadline == 3.0


def test_a_moved_timer_fires_only_at_its_new_deadline() -> None:
    heap, fired = TimerHeap(), []
    timer = heap.timer(fired.append)
    timer.set(1.0)
    timer.set(5.0)
    heap.run_due(2.0)
    assert fired == []
    heap.run_due(5.0)
    assert fired == [5.0]


def test_a_timer_set_again_to_the_same_deadline_fires_once() -> None:
    heap, fired = TimerHeap(), []
    timer = heap.timer(fired.append)
    timer.set(1.0)
    timer.set(2.0)
    timer.set(1.0)
    heap.run_due(3.0)
    heap.run_due(4.0)
    assert fired == [3.0]


def test_a_cancelled_timer_does_not_fire_even_when_cancelled_by_another_due_one() -> None:
    heap, fired = TimerHeap(), []
    second = heap.timer(fired.append)
    heap.call_at(1.0, lambda now: second.cancel())
    second.set(1.0)
    heap.run_due(1.0)
    assert fired == []
    assert heap.next_deadline is None


def test_what_a_callback_sets_for_now_waits_for_the_next_run() -> None:
    heap, fired = TimerHeap(), []

    def again(now: float) -> None:
        fired.append(now)
        heap.call_at(now, again)

    heap.call_at(1.0, again)
    heap.run_due(1.0)
    assert fired == [1.0]
    heap.run_due(1.0)
    assert fired == [1.0, 1.0]


def test_a_callback_that_raises_does_not_lose_the_others() -> None:
    heap, fired = TimerHeap(), []

    def bad(now: float) -> None:
        raise RuntimeError("bug")

    heap.call_at(1.0, bad)
    heap.call_at(1.0, fired.append)
    with pytest.raises(RuntimeError):
        heap.run_due(1.0)
    heap.run_due(1.0)
    assert fired == [1.0]


def test_the_driver_is_told_of_a_deadline_before_all_others() -> None:
    heap, told = TimerHeap(), []
    heap.on_earlier = told.append
    for when in (5.0, 7.0, 3.0):
        heap.call_at(when, lambda now: None)
    assert told == [5.0, 3.0]


def test_moving_a_timer_often_does_not_grow_the_heap() -> None:
    heap = TimerHeap()
    timers = [heap.timer(lambda now: None) for _ in range(10)]
    for step in range(10_000):
        timers[step % 10].set(float(step))
    assert len(heap._entries) < 200
    assert len(heap) == 10


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9) | st.none()), max_size=60))
def test_every_timer_fires_exactly_at_what_was_set_last(steps: list[tuple[int, int | None]]) -> None:
    heap, fired = TimerHeap(), []
    timers = [heap.timer(lambda now, i=i: fired.append((now, i))) for i in range(5)]
    expected: dict[int, int | None] = {}
    for index, when in steps:
        timers[index].set(when)
        expected[index] = when
    for now in range(10):
        heap.run_due(now)
    assert sorted(fired) == sorted((when, i) for i, when in expected.items() if when is not None)
