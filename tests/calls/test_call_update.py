"""Renegotiation: a second connection that takes over from the first (protocol section 8.5)."""

from __future__ import annotations

import pytest

from sft.calls.requests import Offered, Refusal
from support.world import CALL, World


def test_a_known_participant_gets_an_update_without_our_url(world: World) -> None:
    ann, _ = world.join("ann", "bob")
    reply = ann.connect(update=True)
    assert isinstance(reply, Offered)
    assert (reply.update, reply.with_url) == (True, False)


def test_an_unknown_participant_gets_an_update_with_our_url(world: World) -> None:
    reply = world.client("ann").connect(update=True)
    assert isinstance(reply, Offered)
    assert (reply.update, reply.with_url) == (True, True)


def test_a_known_participant_that_joins_anew_gets_a_fresh_setup(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    reply = ann.connect()
    assert isinstance(reply, Offered)
    assert (reply.update, reply.with_url) == (False, True)
    ann.answer()
    ann.start()
    world.run(1.0)
    assert bob.users == ["bob", "ann"]
    assert ann.ends[0].engine.closed is not None


def test_the_old_connection_serves_until_the_channel_of_the_new_one_opens(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.connect(update=True)
    ann.say("PING")
    ann.answer()
    assert ann.talk(2) == bob.heard(ann)
    assert len(ann.of_type("PING")) == 1
    assert ann.ends[0].engine.closed is None
    ann.start()
    assert ann.ends[0].engine.closed is not None
    world.run(1.0)
    assert bob.users == ["bob", "ann"]
    assert ann.talk(2)[-1] in bob.heard(ann)
    assert world.observer.of("joined", "left") == [("joined", "ann"), ("joined", "bob")]


def test_the_new_connection_has_new_ssrcs_but_the_same_name_for_its_video(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    before = bob.roster[0]
    ann.join(update=True)
    world.run(1.0)
    after = bob.roster[1]
    assert before["ssrc_audio"] != after["ssrc_audio"] == str(ann.end.audio_ssrc)
    assert before["ssrc_video"] == after["ssrc_video"]
    assert not set(ann.ends[0].slots) & set(ann.ends[1].slots)


def test_an_update_that_is_never_finished_leaves_the_old_connection(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.connect(update=True)
    assert world.open_ports == 3
    world.run(15.0)
    assert world.open_ports == 2
    assert ann.talk(2) == bob.heard(ann)
    assert world.observer.of("left") == []


def test_an_update_outlives_the_old_connection(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.connect(update=True)
    ann.ends[0].engine.close(world.now)
    world.run(1.0)
    assert bob.users == ["bob"]
    assert world.observer.of("left") == []
    ann.answer()
    ann.start()
    world.run(1.0)
    assert bob.users == ["bob", "ann"]
    assert ann.talk(2) == bob.heard(ann)
    assert world.observer.of("joined", "left") == [("joined", "ann"), ("joined", "bob")]


def test_without_old_and_new_connection_the_participant_is_gone(world: World) -> None:
    ann, _ = world.join("ann", "bob")
    ann.connect(update=True)
    ann.ends[0].engine.close(world.now)
    world.run(15.0)
    assert world.observer.left() == {"ann": "offered_timeout"}


def test_a_second_offer_takes_the_place_of_a_pending_one_and_frees_its_port(world: World) -> None:
    ann = world.client("ann")
    for _ in range(5):
        ann.connect()
        assert world.open_ports == 1
    assert len(world.transports) == 5
    ann.answer()
    ann.start()
    assert ann.users == ["ann"]


def test_an_answer_to_a_superseded_offer_is_an_answer_to_the_new_one(world: World) -> None:
    """The protocol does not number offers; the ICE credentials tell them apart."""
    ann = world.client("ann")
    ann.connect()
    stale = ann.newest
    ann.connect()
    ann.answer()
    stale.start()
    world.settle()
    assert not stale.engine.channel_open
    ann.start()
    assert ann.users == ["ann"]


@pytest.mark.parametrize("update", [True, False])
def test_a_hangup_during_an_update_ends_both_connections(world: World, update: bool) -> None:
    ann, _ = world.join("ann", "bob")
    ann.connect(update=update)
    ann.leave()
    assert world.observer.left() == {"ann": "hangup"}
    assert world.open_ports == 1


def test_updates_over_and_over_leave_one_connection(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    for _ in range(20):
        ann.join(update=True)
        world.run(0.1)
    world.run(1.0)
    assert world.open_ports == 2
    assert [part["timestamp"] for part in bob.roster] == [1, 21]
    assert ann.talk(2) == bob.heard(ann)
    call = world.call()
    assert len(call.table.endpoints) == len(call.roster.members) == 2
    assert len(world.context.routes) == 2


def test_no_port_for_an_update_leaves_the_old_connection(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    world.ports_left = 2
    ann.connect(update=True)
    assert world.calls.refusals == {Refusal.NO_PORT: 1}
    assert ann.talk(2) == bob.heard(ann)
    assert len(world.calls.calls[CALL].participants) == 2
