"""What is told of each join when it is over: how it ended, and when its phases really began and ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sft.calls.joins import MEDIA_SECONDS, JoinClock, JoinCounters, Phase
from sft.model import ParticipantId, PathKind
from support.world import CALL, World

MakeWorld = Callable[..., World]


def spans(clock: JoinClock) -> list[tuple[str, float, float, bool]]:
    return [(one.phase, one.began, one.ended, one.done) for one in clock.phases(1000)]


def make_clock(**reached: float) -> JoinClock:
    """A join that began at 10, and reached phases at these times."""
    clock = JoinClock(JoinCounters(), 10.0)
    for phase, when in reached.items():
        clock.reached(Phase(phase), when)
    return clock


def told(world: World) -> list[tuple[str, str]]:
    return [(join.participant.user, join.outcome) for join in world.observer.joins]


def test_phases_of_a_client_that_connects_after_its_answer() -> None:
    clock = make_clock(http=11, ice=12, dtls=14, channel=15, media=15.5)
    clock.heard(11.5)
    assert spans(clock) == [
        ("http", 1010, 1011, True),
        ("ice", 1011, 1012, True),
        ("dtls", 1012, 1014, True),
        ("channel", 1014, 1015, True),
        ("media", 1014, 1015.5, True),
    ]


def test_phases_of_a_client_that_connects_before_its_answer_overlap_with_it() -> None:
    clock = make_clock(ice=10.2, http=10.5, dtls=10.5, channel=10.6)
    clock.heard(10.1)
    clock.heard(10.3)
    assert spans(clock) == [
        ("http", 1010, 1010.5, True),
        ("ice", 1010.1, 1010.2, True),
        ("dtls", 1010.2, 1010.5, True),
        ("channel", 1010.5, 1010.6, True),
    ]


@pytest.mark.parametrize(
    ("reached", "last"),
    [
        ({}, ("http", 1010, 1020, False)),
        ({"http": 11}, ("ice", 1011, 1020, False)),
        ({"http": 11, "ice": 12}, ("dtls", 1012, 1020, False)),
        ({"http": 11, "ice": 12, "dtls": 13}, ("channel", 1013, 1020, False)),
    ],
)
def test_the_phase_in_which_a_join_failed_lasts_until_it_did(
    reached: dict[str, float], last: tuple[str, float, float, bool]
) -> None:
    clock = make_clock(**reached)
    clock.closed(20.0)
    assert spans(clock)[-1] == last
    assert len(spans(clock)) == len(reached) + 1


def test_a_join_is_told_of_when_its_first_media_came(world: World) -> None:
    alice, _ = world.join("alice", "bob")
    world.run(3)
    assert told(world) == []
    came = world.now
    alice.talk()
    world.run(1.1)
    (join,) = world.observer.joins
    assert (join.call, join.participant, join.outcome) == (CALL, ParticipantId("alice", "_"), "established")
    assert [phase.phase for phase in join.phases] == ["offer", "http", "ice", "dtls", "channel", "media"]
    wall = world.context.wall
    assert join.phases[-1].ended == pytest.approx(wall(came), abs=0.1)
    assert join.began <= join.phases[0].ended == join.phases[1].began
    assert all(join.began <= phase.began <= phase.ended and phase.done for phase in join.phases)
    assert join.ended == join.phases[-2].ended
    assert (join.path.transport, join.path.local, join.update) == ("udp", "host", False)
    world.run(3)
    assert len(world.observer.joins) == 1, "once"


def test_of_who_sends_nothing_it_is_told_later_or_with_the_end(world: World) -> None:
    _, bob = world.join("alice", "bob")
    bob.leave()
    assert told(world) == [("bob", "established")]
    world.run(MEDIA_SECONDS + 1.1)
    assert told(world) == [("bob", "established"), ("alice", "established")]
    assert [phase.phase for phase in world.observer.joins[1].phases][-1] == "channel"


def test_a_join_that_fails_is_told_of_at_once_with_what_its_request_said(make_world: MakeWorld) -> None:
    world = make_world(offer_seconds=3.0)
    alice = world.client("alice")
    alice.connect(received=world.context.wall(world.now) - 0.25, traceparent="from the client")
    world.run(5)
    (join,) = world.observer.joins
    assert (join.outcome, join.traceparent, join.path) == ("no_answer", "from the client", PathKind())
    offer, http = join.phases
    assert offer.ended - offer.began == pytest.approx(0.25)
    assert join.began == offer.began
    assert (http.phase, http.done) == ("http", False)
    assert 3.0 <= http.ended - http.began < 4.5


def test_a_join_is_told_of_when_its_port_and_its_route_are_free(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that none is lost whatever the telling ends in."""
    held: list[tuple[int, int]] = []
    monkeypatch.setattr(
        world.observer, "join_ended", lambda join: held.append((world.open_ports, len(world.context.routes)))
    )
    alice = world.client("alice")
    alice.connect()
    world.run(60)
    assert held == [(0, 0)]
    world.assert_empty()


def test_each_connection_of_a_participant_is_a_join_of_its_own(world: World) -> None:
    alice, bob = world.join("alice", "bob")
    alice.connect()
    alice.join(update=True)
    world.run(MEDIA_SECONDS + 1.1)
    assert sorted(told(world)) == [
        ("alice", "abandoned"),
        ("alice", "established"),
        ("alice", "established"),
        ("bob", "established"),
    ]
    assert [join.update for join in world.observer.joins if join.participant.user == "bob"] == [False]
    assert True in [join.update for join in world.observer.joins]
    bob.leave()
    assert len(world.observer.joins) == 4


def test_a_server_that_stops_tells_of_the_joins_under_way(world: World) -> None:
    world.client("alice").connect()
    world.calls.abandon(world.now)
    assert told(world) == [("alice", "abandoned")]
