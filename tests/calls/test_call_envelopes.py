"""Key envelopes: opaque blobs that the server carries between those who speak them."""

from __future__ import annotations

import base64

import pytest

from sft.model import Drop, EnvelopeVerdict
from support.world import World
from support.world_client import WorldClient


def sealed(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def give(client: WorldClient, text: str, *recipients: str) -> None:
    client.say("KEYENVELOPE", envelope=sealed(text), recipients=list(recipients))


def got(client: WorldClient) -> list[tuple[str, str]]:
    """(sender, text) of every envelope that came."""
    return [
        (message["src_userid"], base64.b64decode(message["envelope"]).decode())
        for message in client.of_type("KEYENVELOPE")
    ]


@pytest.fixture
def three(world: World) -> list[WorldClient]:
    """Ann and bob speak envelopes, cid does not."""
    clients = world.join("ann", "bob", "cid")
    give(clients[0], "ann 1")
    give(clients[1], "bob 1")
    return clients


def test_envelopes_go_to_those_who_sent_one_and_to_nobody_else(three: list[WorldClient]) -> None:
    ann, bob, cid = three
    give(ann, "ann 2")
    assert got(bob) == [("ann", "ann 1"), ("ann", "ann 2")]
    assert got(ann) == [("bob", "bob 1")]
    assert got(cid) == []


def test_a_relayed_envelope_is_an_answer_in_the_name_of_its_sender(three: list[WorldClient]) -> None:
    (message,) = three[0].of_type("KEYENVELOPE")
    assert (message["src_userid"], message["src_clientid"], message["resp"]) == ("bob", "_", True)
    assert "recipients" not in message


def test_a_newcomer_gets_the_newest_of_everybody(three: list[WorldClient]) -> None:
    ann, bob, cid = three
    give(ann, "ann 2")
    give(cid, "cid 1")
    assert sorted(got(cid)) == [("ann", "ann 2"), ("bob", "bob 1")]
    assert got(bob)[-1] == got(ann)[-1] == ("cid", "cid 1")
    give(cid, "cid 2")
    assert len(got(cid)) == 2, "only the first envelope is answered with the others'"


def test_recipients_are_respected_also_when_an_envelope_is_replayed(three: list[WorldClient]) -> None:
    ann, bob, cid = three
    give(ann, "for bob", "bob")
    give(bob, "for cid", "cid")
    give(cid, "cid 1")
    assert got(bob)[1:] == [("ann", "for bob"), ("cid", "cid 1")]
    assert got(cid) == [("bob", "for cid")]
    assert got(ann)[1:] == [("cid", "cid 1")]


def test_who_reconnects_speaks_envelopes_again_when_it_sends_one(three: list[WorldClient]) -> None:
    ann, bob, _ = three
    bob.join(update=True)
    bob.messages.clear()
    give(ann, "ann 2")
    assert got(bob) == []
    give(bob, "bob 2")
    assert got(bob) == [("ann", "ann 2")]


def test_a_refused_envelope_is_not_carried_and_logged(world: World, three: list[WorldClient]) -> None:
    ann, bob, _ = three
    world.observer.verdict = lambda sender: EnvelopeVerdict.REFUSE
    before = got(bob)
    give(ann, "ann 2")
    assert got(bob) == before
    assert [name for name, _ in world.observer.logs] == ["envelope_refused"]


def test_a_plugin_is_asked_once_for_all_recipients(world: World, three: list[WorldClient]) -> None:
    ann, _, cid = three
    give(cid, "cid 1")
    world.observer.envelopes.clear()
    give(ann, "ann 2")
    assert world.observer.envelopes == [("ann", ["bob", "cid"], sealed("ann 2"))]


def test_a_held_envelope_is_asked_about_every_second_and_carried_when_allowed(
    world: World, three: list[WorldClient]
) -> None:
    ann, bob, _ = three
    world.observer.verdict = lambda sender: EnvelopeVerdict.HOLD
    world.observer.envelopes.clear()
    give(ann, "ann 2")
    world.run(5.0)
    assert len(world.observer.envelopes) == 6
    assert got(bob)[-1] == ("ann", "ann 1")
    world.observer.verdict = lambda sender: EnvelopeVerdict.ALLOW
    world.run(1.0)
    assert got(bob)[-1] == ("ann", "ann 2")
    world.run(5.0)
    assert len(world.observer.envelopes) == 7


def test_what_is_held_is_asked_about_when_the_roster_changes(world: World, three: list[WorldClient]) -> None:
    ann, bob, _ = three
    world.observer.verdict = lambda sender: EnvelopeVerdict.HOLD
    give(ann, "ann 2")
    world.observer.verdict = lambda sender: EnvelopeVerdict.ALLOW
    world.client("dan").join()
    assert got(bob)[-1] == ("ann", "ann 2")


def test_a_newer_envelope_takes_the_place_of_a_held_one(world: World, three: list[WorldClient]) -> None:
    ann, bob, _ = three
    world.observer.verdict = lambda sender: EnvelopeVerdict.HOLD
    give(ann, "ann 2")
    give(ann, "ann 3")
    world.observer.verdict = lambda sender: EnvelopeVerdict.ALLOW
    world.run(2.0)
    assert got(bob) == [("ann", "ann 1"), ("ann", "ann 3")]


@pytest.mark.parametrize("way", ["leaves", "reconnects"])
def test_what_is_held_is_dropped_with_its_sender(world: World, three: list[WorldClient], way: str) -> None:
    ann, bob, _ = three
    world.observer.verdict = lambda sender: EnvelopeVerdict.HOLD
    give(ann, "ann 2")
    world.observer.verdict = lambda sender: EnvelopeVerdict.ALLOW
    if way == "leaves":
        ann.leave()
    else:
        ann.join(update=True)
    world.run(5.0)
    assert got(bob) == [("ann", "ann 1")]


def test_what_is_held_for_somebody_is_dropped_when_it_leaves(world: World, three: list[WorldClient]) -> None:
    ann, bob, cid = three
    world.observer.verdict = lambda sender: EnvelopeVerdict.HOLD
    give(ann, "ann 2")
    bob.leave()
    world.observer.envelopes.clear()
    world.run(5.0)
    assert world.observer.envelopes == []
    world.observer.verdict = lambda sender: EnvelopeVerdict.ALLOW
    give(cid, "cid 1")
    assert got(cid) == [("ann", "ann 2")]


def test_what_is_held_for_a_minute_is_refused(world: World, three: list[WorldClient]) -> None:
    ann, bob, _ = three
    world.observer.verdict = lambda sender: EnvelopeVerdict.HOLD
    give(ann, "ann 2")
    world.run(58.0)
    assert world.observer.logs == []
    world.run(4.0)
    assert [name for name, _ in world.observer.logs] == ["envelope_refused"]
    world.observer.envelopes.clear()
    world.run(10.0)
    assert world.observer.envelopes == []
    assert got(bob) == [("ann", "ann 1")]


@pytest.mark.parametrize("envelope", ["x" * 4100, "not base64!", 7])
def test_what_is_no_envelope_is_dropped(world: World, three: list[WorldClient], envelope: object) -> None:
    ann, bob, _ = three
    ann.say("KEYENVELOPE", envelope=envelope)
    assert world.dropped() == {Drop.MESSAGE_MALFORMED: 1}
    assert got(bob) == [("ann", "ann 1")]
