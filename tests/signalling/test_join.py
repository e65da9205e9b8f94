from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import BadPacket, LocalError
from sft.model import Drop
from sft.signalling.join import REMOTE_EVENTS, TIMERS, TRANSITIONS, Event, JoinState, State


def test_a_join_goes_from_offer_to_channel() -> None:
    join = JoinState(now=100.0)
    seen = [join.event(event, 100.0) for event in (Event.OFFER, Event.ANSWER, Event.CONNECT, Event.OPEN)]
    assert seen == [State.OFFERED, State.ANSWERED, State.CONNECTED, State.ESTABLISHED]
    assert join.deadline is None


def test_the_setup_timer_covers_gathering_and_the_wait_for_the_answer() -> None:
    join = JoinState(now=100.0)
    assert join.deadline == 110.0
    join.event(Event.OFFER, 104.0)
    assert join.deadline == 110.0
    assert repr(join) == "<JoinState OFFERED deadline=110.0>"


def test_the_connection_timer_runs_from_the_answer_until_the_channel_opens() -> None:
    join = JoinState(now=100.0)
    join.event(Event.OFFER, 100.0)
    join.event(Event.ANSWER, 105.0)
    assert join.deadline == 115.0
    join.event(Event.CONNECT, 112.0)
    assert join.deadline == 115.0


@pytest.mark.parametrize("events", [[], [Event.OFFER], [Event.OFFER, Event.ANSWER]])
def test_a_timeout_closes_a_join_that_waits(events: list[Event]) -> None:
    join = JoinState(now=0.0)
    for event in events:
        join.event(event, 1.0)
    assert join.event(Event.TIMEOUT, 20.0) is State.CLOSED
    assert join.deadline is None


@pytest.mark.parametrize("event", sorted(REMOTE_EVENTS, key=lambda event: event.name))
def test_an_event_of_the_client_that_does_not_fit_is_a_bad_packet(event: Event) -> None:
    join = JoinState(now=0.0)
    join.event(Event.CLOSE, 0.0)
    with pytest.raises(BadPacket, match=event.name) as caught:
        join.event(event, 1.0)
    assert caught.value.reason is Drop.MESSAGE_UNEXPECTED


def test_a_second_answer_is_unexpected_and_changes_nothing() -> None:
    join = JoinState(now=0.0)
    join.event(Event.OFFER, 0.0)
    join.event(Event.ANSWER, 1.0)
    with pytest.raises(BadPacket):
        join.event(Event.ANSWER, 5.0)
    assert (join.state, join.deadline) == (State.ANSWERED, 11.0)


@pytest.mark.parametrize("event", [Event.OFFER, Event.TIMEOUT])
def test_an_event_of_ours_that_does_not_fit_is_our_fault(event: Event) -> None:
    join = JoinState(now=0.0)
    join.event(Event.CLOSE, 0.0)
    with pytest.raises(LocalError):
        join.event(event, 0.0)


def test_closing_is_always_allowed_and_may_come_twice() -> None:
    for state in State:
        assert TRANSITIONS[state][Event.CLOSE] is State.CLOSED


def test_a_state_can_time_out_exactly_if_it_has_a_timer() -> None:
    for state in State:
        assert (Event.TIMEOUT in TRANSITIONS[state]) is (state in TIMERS)


@given(st.lists(st.sampled_from(Event)))
def test_any_order_of_events_leaves_a_known_state_with_its_timer(events: list[Event]) -> None:
    join = JoinState(now=0.0)
    for now, event in enumerate(events):
        try:
            join.event(event, float(now))
        except (BadPacket, LocalError):
            pass
        assert (join.deadline is not None) is (join.state in TIMERS)
