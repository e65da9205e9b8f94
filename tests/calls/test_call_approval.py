"""Approvals: whose media and properties go to whom (protocol sections 2.7 and 5.4)."""

from __future__ import annotations

import json

import pytest

from sft.model import Drop
from support.wire import message
from support.world import World
from support.world_client import WorldClient


@pytest.fixture
def pair(world: World) -> list[WorldClient]:
    """Ann and bob, who have approved nobody yet."""
    clients = [world.client("ann"), world.client("bob")]
    for client in clients:
        client.approves = None
        client.join()
    world.run(1.0)
    for client in clients:
        client.want("ann", "bob")
    return clients


def exchange(pair: list[WorldClient]) -> tuple[bool, bool, bool, bool]:
    """Both send: does audio come ann -> bob, bob -> ann, does video come ann -> bob, bob -> ann?"""
    ann, bob = pair
    flows = []
    for sender, receiver in ((ann, bob), (bob, ann)):
        flows.append(sender.talk(2)[-1] in receiver.heard(sender))
    for sender, receiver in ((ann, bob), (bob, ann)):
        flows.append(sender.show(2)[-1] in receiver.seen(sender))
    return flows[0], flows[1], flows[2], flows[3]


def test_nothing_flows_until_both_have_approved(pair: list[WorldClient]) -> None:
    ann, bob = pair
    assert not any(exchange(pair))
    bob.approve("ann")
    assert not any(exchange(pair))
    ann.approve("bob")
    assert all(exchange(pair))


def test_media_flows_when_the_sender_was_already_sending(pair: list[WorldClient]) -> None:
    ann, bob = pair
    exchange(pair)
    ann.approve("bob")
    bob.approve("ann")
    assert all(exchange(pair))


@pytest.mark.parametrize(
    ("wrong", "flows"),
    [
        ({"ssrc_audio": "77"}, (False, True, True, True)),
        ({"ssrc_video": "77"}, (True, True, False, True)),
    ],
)
def test_each_kind_needs_the_ssrc_the_receiver_lists(
    pair: list[WorldClient], wrong: dict[str, str], flows: tuple[bool, ...]
) -> None:
    ann, bob = pair
    ann.approve("bob")
    bob.approve("ann", **wrong)
    assert exchange(pair) == flows


def test_an_approval_can_be_withdrawn_on_either_side(pair: list[WorldClient]) -> None:
    ann, bob = pair
    for client in pair:
        ann.approve("bob")
        bob.approve("ann")
        assert all(exchange(pair))
        client.approve()
        assert not any(exchange(pair))


def test_approvals_of_and_by_somebody_end_with_its_connection(world: World, pair: list[WorldClient]) -> None:
    ann, bob = pair
    ann.approve("bob")
    bob.approve("ann")
    assert all(exchange(pair))
    ann.join(update=True)
    world.run(1.0)
    assert not any(exchange(pair))
    ann.approve("bob")
    assert not any(exchange(pair)), "bob has not approved the new connection"
    bob.approve("ann")
    assert all(exchange(pair))


def test_approval_of_somebody_unknown_means_nothing(world: World, pair: list[WorldClient]) -> None:
    ann, bob = pair
    ann.say("CONFPART", resp=True, participants=[{**bob.roster[1], "userid": "cid", "authorized": True}])
    world.client("cid").join()
    assert not world.call().approvals.approves(ann.id, world.clients[2].id)
    assert world.dropped() == {}


def test_nobody_hears_itself(world: World, pair: list[WorldClient]) -> None:
    ann, _ = pair
    me = {**ann.roster[0], "authorized": True}
    ann.say("CONFPART", resp=True, participants=[me])
    ann.talk(3)
    ann.show(3)
    assert ann.packets == []


def test_media_is_not_carried_between_calls(world: World) -> None:
    (ann,) = world.join("ann", call="one")
    (bob,) = world.join("bob", call="two")
    ann.talk(3)
    assert bob.packets == []


def test_three_hear_and_see_each_other_with_every_payload_unchanged(world: World) -> None:
    clients = world.join("ann", "bob", "cid")
    for client in clients:
        client.want(*(other.id.user for other in clients if other is not client))
    sent = {client: (client.talk(5), client.show(5)) for client in clients}
    for receiver in clients:
        for sender in clients:
            if sender is not receiver:
                assert (receiver.heard(sender), receiver.seen(sender)) == sent[sender]
    assert world.dropped() == {}


def test_properties_go_to_those_the_sender_approved_and_nobody_else(world: World) -> None:
    ann, bob, cid = world.join("ann", "bob", "cid")
    ann.approve("bob")
    ann.say("PROPSYNC", props={"muted": "true"})
    assert len(bob.of_type("PROPSYNC")) == 1
    assert cid.of_type("PROPSYNC") == ann.of_type("PROPSYNC") == []


def test_of_properties_that_come_faster_than_they_are_told_the_newest_is_told(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    for count in range(100):
        text = json.dumps(message("PROPSYNC", ann.call, "ann", props={"count": str(count)}))
        ann.end.engine.send(text, world.now)
    for data in ann.end.engine.datagrams():
        ann.end.send(data)
    waiting = world.call().relay._waiting
    assert [len(texts) for texts in waiting.values()] == [1], "what waits is bounded"
    world.settle()
    told = [int(sync["props"]["count"]) for sync in bob.of_type("PROPSYNC")]
    assert told == sorted(told)
    assert told[-1] == 99


def test_relayed_properties_carry_the_originators_ids_and_unknown_names(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    props = {"videosend": "true", "hand": "raised", "ß": "ü\u0000"}
    ann.say("PROPSYNC", props=props)
    (relayed,) = bob.of_type("PROPSYNC")
    assert (relayed["src_userid"], relayed["src_clientid"]) == ("ann", "_")
    assert relayed["resp"] is True
    assert relayed["props"] == props
    assert list(relayed["props"]) == list(props)


def test_properties_are_told_again_to_who_is_approved_later(world: World, pair: list[WorldClient]) -> None:
    ann, bob = pair
    ann.say("PROPSYNC", props={"videosend": "false"})
    ann.say("PROPSYNC", props={"videosend": "true"})
    assert bob.of_type("PROPSYNC") == []
    ann.approve("bob")
    assert [sync["props"] for sync in bob.of_type("PROPSYNC")] == [{"videosend": "true"}]
    ann.approve("bob")
    assert len(bob.of_type("PROPSYNC")) == 1, "nothing has changed"


def test_who_reconnects_is_told_the_properties_again(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.say("PROPSYNC", props={"videosend": "true"})
    bob.messages.clear()
    bob.join(update=True)
    world.run(1.0)
    assert [sync["props"] for sync in bob.of_type("PROPSYNC")] == [{"videosend": "true"}]


@pytest.mark.parametrize(("value", "muted"), [("true", True), ("false", False), ("yes", False)])
def test_the_list_says_who_is_muted(world: World, value: str, muted: bool) -> None:
    (ann,) = world.join("ann")
    ann.say("PROPSYNC", props={"muted": value})
    (bob,) = world.join("bob")
    assert [part["muted"] for part in bob.roster] == [muted, False]


def test_properties_that_are_no_strings_are_refused(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.say("PROPSYNC", props={"muted": True})
    assert world.dropped() == {Drop.MESSAGE_MALFORMED: 1}
    assert bob.of_type("PROPSYNC") == []
