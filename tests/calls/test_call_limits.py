"""Limits and draining: whom a worker refuses, and that those who are there do not notice."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from sft.calls.requests import Accepted, Drain, Refusal
from support.world import World
from support.world_client import refusal


def test_a_full_call_refuses_newcomers_but_not_those_it_knows(make_world: Callable[..., World]) -> None:
    world = make_world(participants_per_call=2)
    ann, bob = world.join("ann", "bob")
    assert refusal(world.client("cid").connect()) is Refusal.CALL_FULL
    assert refusal(world.client("cid", call="other").connect()) is None
    ann.join(update=True)
    bob.leave()
    assert refusal(world.client("cid").connect()) is None


def test_a_full_worker_refuses_newcomers_but_not_those_it_knows(make_world: Callable[..., World]) -> None:
    world = make_world(participants_per_worker=2)
    (ann,) = world.join("ann", call="one")
    (bob,) = world.join("bob", call="two")
    for call in ("one", "three"):
        assert refusal(world.client("cid", call=call).connect()) is Refusal.WORKER_FULL
    assert "three" not in world.calls.calls
    ann.join(update=True)
    bob.leave()
    assert refusal(world.client("cid", call="three").connect()) is None


def test_joins_under_way_are_counted_by_address(make_world: Callable[..., World]) -> None:
    world = make_world(pending_per_address=3)
    joining = [world.client(f"user{number}", call=f"call{number}", host="192.0.2.9") for number in range(3)]
    for client in joining:
        client.connect()
    blocked = world.client("late", host="192.0.2.9")
    assert refusal(blocked.connect()) is Refusal.TOO_MANY_PENDING
    assert refusal(world.client("else", host="192.0.2.10").connect()) is None
    assert refusal(joining[0].connect()) is None, "again, in place of its pending one"
    joining[0].answer()
    joining[0].start()
    assert refusal(blocked.connect()) is None
    world.run(15.0)
    assert world.calls.participants == 1


def test_no_free_port_refuses_and_ends_nothing(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    world.ports_left = 2
    assert refusal(world.client("cid").connect()) is Refusal.NO_PORT
    assert world.call().participants.keys() == {ann.id, bob.id}
    assert ann.talk(2) == bob.heard(ann)
    bob.leave()
    assert refusal(world.client("cid").connect()) is None


def test_draining_refuses_new_calls_and_admits_to_running_ones(world: World) -> None:
    (ann,) = world.join("ann")
    assert world.calls.handle(Drain(), world.now) == Accepted()
    assert refusal(world.client("bob", call="new").connect()) is Refusal.DRAINING
    (bob,) = world.join("bob")
    ann.join(update=True)
    world.run(1.0)
    assert bob.users == ["bob", "ann"]
    assert world.observer.of("started") == [("started", ann.call)]
    bob.leave()
    ann.leave()
    assert refusal(world.client("ann").connect()) is Refusal.DRAINING


UGLY = "\x01" * 127
"""An id is the client's to choose, and in JSON a control character takes six bytes."""


def test_a_call_is_full_when_its_list_would_not_fit_into_a_message(world: World) -> None:
    offered = 0
    for number in range(200):
        offered += (
            refusal(world.client(f"{number:03}{UGLY[3:]}", client=UGLY, host=str(number)).connect()) is None
        )
    assert 140 < offered < 160
    assert refusal(world.client("plain", call="another").connect()) is None


@pytest.mark.parametrize("user", ["ann", "ä" * 60, UGLY, '"' * 127])
def test_the_list_takes_no_more_than_was_reckoned_with(world: World, user: str) -> None:
    ann = world.client(user, client=UGLY)
    ann.join()
    entry = json.dumps(ann.roster[0], separators=(",", ":"), ensure_ascii=False)
    assert 60 < len(entry.encode()) <= world.call().participants[ann.id].entry_bytes


@pytest.mark.parametrize("update", [False, True])
def test_refusals_joins_and_calls_are_counted(make_world: Callable[..., World], update: bool) -> None:
    world = make_world(participants_per_call=1)
    ann = world.client("ann")
    ann.join(update=update)
    ann.join(update=True)
    world.client("bob").connect()
    world.client("bob").connect()
    assert world.calls.refusals == {Refusal.CALL_FULL: 2}
    assert (world.calls.participants_total, world.calls.calls_total) == (1, 1)


def test_a_server_that_stops_does_not_tell_clients(world: World) -> None:
    clients = world.join("ann", "bob", "cid")
    world.run(1.0)
    for client in clients:
        client.messages.clear()
    world.calls.abandon(world.now)
    world.settle()
    assert world.observer.left() == dict.fromkeys(("ann", "bob", "cid"), "server_stopped")
    assert all(client.end.engine.closed is None for client in clients)
    assert [client.messages for client in clients] == [[], [], []]
    world.assert_empty()
