"""What else is said on the data channel: signs of life, goodbyes, and too much or the wrong thing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sft.model import Drop
from support.wire import message
from support.world import World
from support.world_client import WorldClient, everything


def in_one_datagram(
    client: WorldClient, messages: Sequence[tuple[str, dict[str, Any]]], *, goodbye: bool = True
) -> None:
    """Send several messages, and close_notify, as records of a single datagram."""
    engine, now = client.end.engine, client.world.now
    for type, fields in messages:
        engine.send(json.dumps(message(type, client.call, client.id.user, **fields)), now)
    if goodbye:
        engine.dtls.close()
        engine.outbox += engine.dtls.datagrams()
    client.end.send(b"".join(engine.datagrams()))
    client.world.settle()


def test_a_ping_is_answered(world: World) -> None:
    (ann,) = world.join("ann", beats=False)
    ann.say("PING")
    (pong,) = ann.of_type("PING")
    assert (pong["resp"], pong["src_userid"], pong["dest_userid"]) == (True, "sft", "ann")


def test_a_hangup_is_answered_and_ends_the_participant(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.leave()
    (answer,) = ann.of_type("HANGUP")
    assert answer["resp"] is True
    assert ann.end.engine.closed is not None
    world.run(1.0)
    assert bob.users == ["bob"]
    assert world.observer.left() == {"ann": "hangup"}


@pytest.mark.parametrize("type", ["PING", "PROPSYNC", "CONFPART", "CONFSTREAMS", "KEYENVELOPE"])
def test_what_comes_in_one_datagram_with_the_goodbye_does_no_harm(world: World, type: str) -> None:
    """A record with a message and one with close_notify: the peer is closed when the message is taken."""
    ann, bob = world.join("ann", "bob")
    fields = {
        "PROPSYNC": {"props": {"last": "words"}},
        "CONFPART": {"resp": True, "participants": ann.roster},
        "CONFSTREAMS": {"mode": "list", "streams": []},
        "KEYENVELOPE": {"envelope": "aGk="},
    }
    in_one_datagram(ann, [(type, fields.get(type, {}))])
    assert world.observer.endings == [("ann", "connection_ended DTLS close_notify")]
    world.run(1.0)
    assert bob.users == ["bob"]


def test_what_comes_in_one_datagram_after_a_hangup_is_not_taken(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    world.observer.envelopes.clear()
    bob.say("KEYENVELOPE", envelope="aGk=")
    after = [("PROPSYNC", {"props": {"a": "b"}}), ("KEYENVELOPE", {"envelope": "aGk="}), ("HANGUP", {})]
    in_one_datagram(ann, [("HANGUP", {}), *after], goodbye=False)
    assert world.observer.left() == {"ann": "hangup"}
    assert world.observer.envelopes == []
    assert bob.of_type("PROPSYNC") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Drop.CHANNEL_UNEXPECTED),  # RFC 8831 has a payload protocol of its own for it
        ("{}", Drop.MESSAGE_MALFORMED),
        ("[" * 60000, Drop.MESSAGE_MALFORMED),
        ('{"version":"3.0","type":"DANCE","sessid":"x","resp":false}', Drop.MESSAGE_MALFORMED),
        ('{"version":"3.0","type":"CANCEL","sessid":"x","resp":false}', Drop.MESSAGE_UNEXPECTED),
        ('{"version":"3.0","type":"HANGUP","sessid":"x","resp":true}', Drop.MESSAGE_UNEXPECTED),
        (
            '{"version":"3.0","type":"SETUP","sessid":"x","resp":true,"sdp":"v=0","props":{}}',
            Drop.MESSAGE_UNEXPECTED,
        ),
        (
            '{"version":"3.0","type":"CONFPART","sessid":"x","resp":false,"participants":[]}',
            Drop.MESSAGE_UNEXPECTED,
        ),
    ],
)
def test_wrong_messages_are_counted_and_the_call_goes_on(world: World, text: str, reason: Drop) -> None:
    ann, bob = world.join("ann", "bob")
    ann.say_text(text)
    ann.say_text(text)
    assert world.dropped() == {reason: 2}
    assert [name for name, _ in world.observer.logs] == ["bad_packet"], "logged once per peer"
    assert bob.heard(ann) == []
    assert ann.talk(2) == bob.heard(ann)


def test_a_flood_of_messages_is_counted_and_the_call_goes_on(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    for _ in range(600):
        ann.say("PING")
    answered = len(ann.of_type("PING"))
    assert 390 <= answered <= 400
    assert world.dropped() == {Drop.MESSAGE_TOO_OFTEN: 600 - answered}
    world.run(1.0)
    ann.say("PING")
    assert len(ann.of_type("PING")) == answered + 1
    assert world.dropped() == {Drop.MESSAGE_TOO_OFTEN: 600 - answered}
    assert ann.talk(2) == bob.heard(ann)


def test_a_client_that_acknowledges_nothing_is_given_up(make_world: Callable[..., World]) -> None:
    world = make_world(channel_bytes=64 * 1024, silence_seconds=1000.0)
    ann, bob = world.join("ann", "bob", beats=False)
    ann.end.lose_up = everything
    for number in range(50):
        bob.say("PROPSYNC", props={"text": "x" * 1000, "count": str(number)})
        world.run(0.02)
    assert world.observer.left() == {}
    for number in range(20):
        bob.say("PROPSYNC", props={"text": "x" * 1000, "count": str(number)})
        world.run(0.02)
    assert world.observer.left() == {"ann": "channel_stalled"}
    world.run(1.0)
    assert bob.users == ["bob"]


async def _acknowledge_nothing() -> None:
    """In place of aiortc's own."""


def test_a_client_that_asks_and_never_acknowledges_answers_is_given_up(
    make_world: Callable[..., World],
) -> None:
    world = make_world(channel_bytes=16 * 1024)
    (ann,) = world.join("ann", beats=False)
    assert ann.end.engine.sctp is not None
    ann.end.engine.sctp._transport._send_sack = _acknowledge_nothing  # type: ignore[method-assign]
    while not world.observer.left() and len(ann.of_type("PING")) < 150:
        ann.say("PING")
    assert world.observer.left() == {"ann": "channel_stalled"}


def test_a_message_of_sixty_kilobytes_is_taken_and_a_larger_one_ends_the_connection(world: World) -> None:
    ann, _ = world.join("ann", "bob")
    ann.say("PING", filler="x" * 60_000)
    assert len(ann.of_type("PING")) == 1
    ann.say("PING", filler="x" * 70_000)
    world.run(1.0)
    assert world.observer.endings == [("ann", "connection_ended a message is too large")]
