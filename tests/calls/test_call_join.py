"""Joining and leaving, and what everybody is told about who is there (protocol sections 2.8 and 5)."""

from __future__ import annotations

import base64

from sft.calls.requests import Accepted, Offered, Refusal
from sft.model import Drop
from support.world import CALL, WALL, World


def test_a_join_ends_with_an_open_channel_and_the_list_of_participants(world: World) -> None:
    (ann,) = world.join("ann")
    assert ann.users == ["ann"]
    assert ann.end.engine.channel_open
    assert world.dropped() == {}


def test_the_offer_has_the_slots_that_were_asked_for(world: World) -> None:
    ann = world.client("ann", video_slots=3)
    reply = ann.connect()
    assert isinstance(reply, Offered)
    assert (reply.update, reply.with_url) == (False, True)
    assert len(ann.newest.slots) == 1 + 5 + 3


def test_more_slots_than_the_server_gives_are_cut(world: World) -> None:
    ann = world.client("ann", video_slots=1000)
    ann.connect()
    assert len(ann.newest.slots) == 1 + 5 + 32


def test_everybody_is_told_of_a_join_and_of_a_leave_and_is_in_the_list_itself(world: World) -> None:
    ann, bob, cid = world.join("ann", "bob", "cid")
    assert ann.users == bob.users == cid.users == ["ann", "bob", "cid"]
    bob.leave()
    world.run(1.0)
    assert ann.users == cid.users == ["ann", "cid"]


def test_the_list_names_the_ssrcs_that_media_is_known_by(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    assert ann.roster == [
        {
            "userid": client.id.user,
            "clientid": "_",
            "authorized": False,
            "ssrc_audio": str(client.end.audio_ssrc),
            "ssrc_video": str(client.video_name),
            "timestamp": index,
            "muted": False,
        }
        for index, client in enumerate((ann, bob))
    ]


def test_the_message_carries_time_counter_entropy_and_our_url(world: World) -> None:
    ann, _ = world.join("ann", "bob")
    first, second = ann.of_type("CONFPART")
    assert int(first["timestamp"]) == int((WALL + 1000.0) * 1000)
    assert int(second["seqno"]) > int(first["seqno"])
    assert len(base64.b64decode(first["entropy"])) == 16
    assert first["entropy"] != second["entropy"]
    assert first["sfts"] == ["https://sft.example/"]
    assert first["resp"] is False


def test_the_call_is_started_once_by_the_first_participant_only(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.leave()
    (cid,) = world.join("cid")
    starts = {
        client.id.user: [part["should_start"] for part in client.of_type("CONFPART")]
        for client in (ann, bob, cid)
    }
    assert starts["ann"] == [True, False]
    assert not any(starts["bob"] + starts["cid"])


def test_a_call_that_ended_is_started_anew(world: World) -> None:
    (ann,) = world.join("ann")
    ann.leave()
    (bob,) = world.join("bob")
    assert [part["should_start"] for part in bob.of_type("CONFPART")] == [True]


def test_a_call_that_this_server_only_takes_over_is_not_started(world: World) -> None:
    ann = world.client("ann")
    ann.join(update=True)
    assert [part["should_start"] for part in ann.of_type("CONFPART")] == [False]


def test_participants_stand_in_the_order_they_joined_and_who_reconnects_at_the_end(world: World) -> None:
    ann, bob, cid = world.join("ann", "bob", "cid")
    ann.join(update=True)
    world.run(1.0)
    assert bob.users == ["bob", "cid", "ann"]
    assert [part["timestamp"] for part in bob.roster] == [1, 2, 3]
    assert cid.roster == ann.roster == bob.roster


def test_a_plugin_may_order_the_list(world: World) -> None:
    world.observer.order = lambda roster: sorted(roster, key=lambda entry: entry.user)
    _, ann = world.join("bob", "ann")
    assert ann.users == ["ann", "bob"]
    assert world.observer.of("roster")[-1] == ("roster", ["ann", "bob"], "joined")


def test_the_order_counts_channels_that_opened_not_offers_that_were_asked_for(world: World) -> None:
    slow = world.client("slow")
    slow.connect()
    (fast,) = world.join("fast")
    slow.answer()
    slow.start()
    world.run(1.0)
    assert fast.users == ["fast", "slow"]


def test_two_devices_of_one_user_are_two_participants(world: World) -> None:
    phone, laptop = (world.client("ann", client=device) for device in ("phone", "laptop"))
    phone.join()
    laptop.join()
    world.run(1.0)
    assert [part["clientid"] for part in phone.roster] == ["phone", "laptop"]


def test_calls_know_nothing_of_each_other(world: World) -> None:
    (ann,) = world.join("ann", call="one")
    (bob,) = world.join("bob", call="two")
    assert (ann.users, bob.users) == (["ann"], ["bob"])
    assert len(world.calls) == 2


def test_a_handshake_may_be_done_before_the_answer_comes(world: World) -> None:
    ann = world.client("ann")
    ann.connect()
    ann.start()
    assert isinstance(ann.answer(), Accepted)
    world.settle()
    assert ann.users == ["ann"]


def test_an_answer_without_an_offer_is_refused(world: World) -> None:
    ann = world.client("ann")
    ann.join()
    world.calls.refusals.clear()
    ann.answer()
    bob = world.client("bob")
    bob.answer_with(ann.newest.answer())
    bob.call = "no such call"
    bob.answer_with(ann.newest.answer())
    assert world.calls.refusals == {Refusal.UNKNOWN_PARTICIPANT: 3}


def test_a_second_answer_is_refused_and_changes_nothing(world: World) -> None:
    ann = world.client("ann")
    ann.connect()
    ann.answer()
    ann.answer(fingerprint="AB:" * 31 + "AB")
    assert world.calls.refusals == {Refusal.BAD_ANSWER: 1}
    assert world.dropped() == {Drop.MESSAGE_UNEXPECTED: 1}
    ann.start()
    assert ann.users == ["ann"]


def test_a_malformed_answer_is_refused_and_may_be_corrected(world: World) -> None:
    ann = world.client("ann")
    ann.connect()
    ann.answer(fingerprint="nonsense")
    assert world.calls.refusals == {Refusal.BAD_ANSWER: 1}
    assert world.dropped() == {Drop.SDP_MALFORMED: 1}
    ann.answer()
    ann.start()
    assert ann.users == ["ann"]


def test_another_certificate_than_the_answer_says_ends_the_join(world: World) -> None:
    ann = world.client("ann")
    ann.connect()
    ann.answer(fingerprint="AB:" * 31 + "AB")
    ann.start()
    assert world.dropped() == {Drop.DTLS_FINGERPRINT: 1}
    assert CALL not in world.calls.calls
    assert [name for name, _ in world.observer.logs] == ["bad_packet", "join_failed"]


def test_a_client_that_loses_packets_gets_all_messages(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    chance = world.random.random
    ann.end.lose_up = ann.end.lose_down = lambda data: chance() < 0.3
    for index in range(20):
        bob.say("PROPSYNC", props={"count": str(index)})
        world.run(0.5)
    world.run(30.0)
    assert [sync["props"]["count"] for sync in ann.of_type("PROPSYNC")] == [str(n) for n in range(20)]
