"""CONFPART rounds: how often everybody is told, and what a slow client gets."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sft.calls import roster
from support.plain import without_cryptography
from support.world import World
from support.world_client import everything, nothing


def test_the_first_change_is_told_at_once(world: World) -> None:
    ann = world.client("ann")
    ann.join()
    assert ann.users == ["ann"], "no time has passed"


def test_changes_that_follow_are_told_together_a_fifth_of_a_second_later(world: World) -> None:
    (ann,) = world.join("ann")
    began = len(ann.of_type("CONFPART"))
    world.client("bob").join()
    world.client("cid").join()
    world.client("dan").join()
    assert ann.users == ["ann", "bob"]
    world.run(0.19)
    assert len(ann.of_type("CONFPART")) == began + 1
    world.run(0.02)
    assert len(ann.of_type("CONFPART")) == began + 2
    assert ann.users == ["ann", "bob", "cid", "dan"]


def test_fifty_joins_in_one_instant_are_two_rounds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """DTLS would look at the real clock, and fifty handshakes may take long enough for it to send again."""
    without_cryptography(monkeypatch)
    clients = world.join(*(f"user{number}" for number in range(50)))
    what_happened = world.observer.left(), world.dropped()
    assert {len(client.users) for client in clients} == {50}, what_happened
    assert max(len(client.of_type("CONFPART")) for client in clients) == 2, what_happened


def test_joins_and_leaves_that_go_on_are_told_five_times_a_second(world: World) -> None:
    (ann,) = world.join("ann")
    before = len(ann.of_type("CONFPART"))
    for number in range(100):
        bob = world.client(f"user{number}", beats=False)
        bob.join()
        world.run(0.005)
        bob.leave()
        world.run(0.005)
    told = len(ann.of_type("CONFPART")) - before
    assert 5 <= told <= 6


def test_a_round_serves_everybody_in_several_turns(world: World) -> None:
    clients = world.join(*(f"user{number}" for number in range(11)))
    assert {len(client.users) for client in clients} == {11}


def test_a_channel_that_is_backed_up_gets_the_newest_list_only(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.approve("bob")
    ann.end.lose_up = everything  # nothing is acknowledged any more
    for number in range(40):
        bob.say("PROPSYNC", props={"text": "x" * 200, "count": str(number)})
    before = len(ann.of_type("CONFPART"))
    joined = [world.client(f"user{number}", beats=False) for number in range(5)]
    for client in joined:
        client.join()
        world.run(0.3)
    assert len(ann.of_type("CONFPART")) == before
    ann.end.lose_up = nothing
    world.run(10.0)
    assert len(ann.of_type("CONFPART")) == before + 1
    assert ann.users == ["ann", "bob", *(client.id.user for client in joined)]


def test_who_leaves_while_a_list_waits_for_it_is_sent_nothing(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.end.lose_up = everything
    for _ in range(40):
        bob.say("PROPSYNC", props={"text": "x" * 200})
    world.client("cid").join()
    world.run(20.0)
    assert world.observer.left()["ann"] == "silence"
    assert bob.users == ["bob", "cid"]


def test_a_channel_that_is_given_up_in_the_middle_of_a_round_does_not_stop_it(
    make_world: Callable[..., World],
) -> None:
    world = make_world(channel_bytes=4000)
    clients = world.join(*(f"user{number}" for number in range(9)))
    for stalled in clients[1:3]:
        stalled.end.lose_up = everything
    for number in range(8):
        world.client(f"late{number}", beats=False).join()
        world.run(0.3)
    left = world.observer.left()
    assert left == {"user1": "channel_stalled", "user2": "channel_stalled"}
    assert len(clients[0].users) == 9 - 2 + 8


def test_rounds_of_a_big_call_come_as_seldom_as_their_size_wants(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A list of N goes to N: without a bound on the rate, rounds would take all of a big call's time."""
    monkeypatch.setattr(roster, "ROUND_RATE", 10_000)
    clients = world.join(*(f"user{number}" for number in range(10)))
    world.run(10.0)
    before = len(clients[0].of_type("CONFPART"))
    size = len(json.dumps(clients[0].of_type("CONFPART")[-1], separators=(",", ":"))) * len(clients)
    for number in range(40):
        world.client(f"late{number}").join()
        world.run(0.1)
    rounds = len(clients[0].of_type("CONFPART")) - before
    assert 1 <= rounds <= 4.0 / (size / 10_000) + 1
    assert rounds < 4.0 / 0.2
