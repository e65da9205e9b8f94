from __future__ import annotations

from sft.calls.participant import Participant
from sft.calls.relay import BATCH, Relay
from sft.calls.timers import TimerHeap
from sft.model import ParticipantId


class Post:
    """A relay whose messages are collected."""

    def __init__(self) -> None:
        self.timers = TimerHeap()
        self.sent: list[tuple[str, str]] = []
        self.relay = Relay(self.timers, lambda to, text, now: self.sent.append((to.id.user, text)))
        self.people = [Participant(ParticipantId(f"user{number}", "_"), 1) for number in range(50)]


def test_a_message_waits_for_the_next_turn_and_no_longer() -> None:
    post = Post()
    post.relay.post(post.people[0], post.people[1].id, "hello", 5.0)
    assert post.sent == []
    post.timers.run_due(5.0)
    assert post.sent == [("user0", "hello")]


def test_a_turn_carries_a_few_messages_and_the_next_ones_the_rest() -> None:
    post = Post()
    for receiver in post.people:
        post.relay.post(receiver, ParticipantId("origin", "_"), "hello", 5.0)
    post.timers.run_due(5.0)
    assert len(post.sent) == BATCH
    while post.timers.run_due(5.0):
        pass
    assert sorted(post.sent) == sorted((receiver.id.user, "hello") for receiver in post.people)


def test_a_newer_message_of_the_same_origin_takes_the_place_of_the_older() -> None:
    post = Post()
    ann, bob, cid = post.people[:3]
    for text in ("old", "new"):
        post.relay.post(ann, bob.id, text, 5.0)
    post.relay.post(ann, cid.id, "other", 5.0)
    post.timers.run_due(5.0)
    assert post.sent == [("user0", "new"), ("user0", "other")]


def test_who_is_forgotten_gets_nothing_and_the_others_do() -> None:
    post = Post()
    ann, bob = post.people[:2]
    post.relay.post(ann, bob.id, "for ann", 5.0)
    post.relay.post(bob, ann.id, "for bob", 5.0)
    post.relay.forget(ann)
    post.timers.run_due(5.0)
    assert post.sent == [("user1", "for bob")]


def test_a_message_posted_while_another_is_sent_is_not_lost() -> None:
    post = Post()
    ann, bob = post.people[:2]
    post.relay.post(ann, bob.id, "first", 5.0)
    post.timers.run_due(5.0)
    post.relay.post(ann, bob.id, "second", 6.0)
    post.timers.run_due(6.0)
    assert [text for _, text in post.sent] == ["first", "second"]


def test_a_stopped_relay_keeps_quiet() -> None:
    post = Post()
    post.relay.post(post.people[0], post.people[1].id, "hello", 5.0)
    post.relay.stop()
    post.timers.run_due(5.0)
    assert post.sent == []
