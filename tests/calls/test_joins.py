"""How joins went: outcomes and the time of each phase."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sft.calls.joins import JoinClock, JoinCounters, Outcome, Phase
from support.world import World


def seconds(counters: JoinCounters) -> dict[str, list[float]]:
    """(number of values, their sum) of each phase that has any."""
    return {
        name: [sum(distribution.counts), round(distribution.sum, 6)]
        for name, distribution in counters.read_phases().items()
        if sum(distribution.counts)
    }


def outcomes(counters: JoinCounters) -> dict[str, int]:
    return {outcome.value: count for outcome, count in counters.outcomes.items() if count}


def test_each_phase_has_the_time_it_added() -> None:
    counters = JoinCounters()
    clock = JoinClock(counters, 10.0)
    for phase, when in zip(Phase, (10.25, 10.5, 11.0, 13.0, 17.0), strict=True):
        clock.reached(phase, when)
    assert seconds(counters) == {
        "http": [1, 0.25],
        "ice": [1, 0.25],
        "dtls": [1, 0.5],
        "channel": [1, 2.0],
        "media": [1, 4.0],
    }
    assert outcomes(counters) == {"established": 1}


def test_who_has_nothing_to_send_at_first_did_not_wait_for_its_media() -> None:
    for later, counted in ((9.5, True), (1800.0, False)):
        counters = JoinCounters()
        clock = JoinClock(counters, 0.0)
        for phase in (Phase.HTTP, Phase.ICE, Phase.DTLS, Phase.CHANNEL):
            clock.reached(phase, 0.5)
        clock.reached(Phase.MEDIA, 0.5 + later)
        assert ("media" in seconds(counters)) is counted
        assert ("media" in [record.phase for record in clock.phases(0.0)]) is counted


def test_a_path_that_stood_before_the_answer_added_nothing() -> None:
    counters = JoinCounters()
    clock = JoinClock(counters, 10.0)
    clock.reached(Phase.ICE, 10.1)
    assert seconds(counters) == {}
    clock.reached(Phase.HTTP, 10.5)
    clock.reached(Phase.ICE, 12.0)  # another path later is not the join's
    clock.reached(Phase.DTLS, 12.5)
    assert seconds(counters) == {"http": [1, 0.5], "ice": [1, 0.0], "dtls": [1, 2.0]}


@pytest.mark.parametrize(
    ("done", "outcome"),
    [
        ([], Outcome.NO_ANSWER),
        ([Phase.ICE], Outcome.NO_ANSWER),
        ([Phase.HTTP], Outcome.NO_PATH),
        ([Phase.HTTP, Phase.ICE], Outcome.NO_HANDSHAKE),
        ([Phase.HTTP, Phase.ICE, Phase.DTLS], Outcome.NO_CHANNEL),
        ([Phase.HTTP, Phase.ICE, Phase.DTLS, Phase.CHANNEL], Outcome.ESTABLISHED),
        (list(Phase), Outcome.ESTABLISHED),
    ],
)
def test_a_join_that_ends_is_counted_once_by_what_it_lacks(done: list[Phase], outcome: Outcome) -> None:
    counters = JoinCounters()
    clock = JoinClock(counters, 0.0)
    for phase in done:
        clock.reached(phase, 1.0)
    clock.closed(2.0)
    clock.abandoned(3.0)
    assert outcomes(counters) == {outcome.value: 1}


def test_joins_that_succeed(world: World) -> None:
    world.join("alice", "bob")
    joins = world.context.joins
    assert outcomes(joins) == {"established": 2}
    assert {phase: count for phase, (count, _) in seconds(joins).items()} == {
        "http": 2,
        "ice": 2,
        "dtls": 2,
        "channel": 2,
    }


def test_a_client_that_never_answers(make_world: Callable[..., World]) -> None:
    world = make_world(offer_seconds=3.0)
    world.client("alice").connect()
    assert outcomes(world.context.joins) == {}
    world.run(5)
    assert outcomes(world.context.joins) == {"no_answer": 1}


def test_a_client_that_asks_again_before_it_answers_has_abandoned_the_first(world: World) -> None:
    client = world.client("alice")
    client.connect()
    client.join()
    assert outcomes(world.context.joins) == {"abandoned": 1, "established": 1}


def test_the_first_media_is_a_phase_of_its_own(world: World) -> None:
    alice, _ = world.join("alice", "bob")
    assert "media" not in seconds(world.context.joins)
    opened = world.now
    world.run(3)
    alice.talk()
    alice.show()
    assert seconds(world.context.joins)["media"][0] == 1
    assert seconds(world.context.joins)["media"][1] >= world.now - opened


def test_approvals_that_are_missing_are_pairs(world: World) -> None:
    alice, bob, _ = world.join("alice", "bob", "carol")
    assert world.call().approvals_missing == 0
    alice.approve("carol")
    assert world.call().approvals_missing == 2  # from alice to bob and from bob to alice
    bob.leave()
    assert world.call().approvals_missing == 0
    world.client("dave").join()  # has not seen a list yet
    assert world.call().approvals_missing == 4
    world.run(1)
    assert world.call().approvals_missing == 0


def test_control_traffic_is_counted(world: World) -> None:
    world.join("alice")
    past = world.context.media.past
    received, sent = past.received["control"], past.sent["control"]
    assert 5 < received.packets < 50
    assert 5 < sent.packets < 50
    assert received.octets > 20 * received.packets
