"""The conformance checklist (protocol section 14), item by item; other tests look closer at each.

Items 15 and 16 need a listener: tests/e2e/test_operator_settings.py. The names of ``/metrics`` in item
16 come with a metrics plugin and have no test here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import pytest

from sft.calls.requests import Accepted, Offered
from sft.model import IceServer
from sft.plugin import Receive, Transport
from sft.signalling.answer import read_answer_untrusted
from support.door import Door
from support.rtcp import asks_for_keyframe, read_compounds
from support.rtp import AUDIO_LEVEL, FRAME_DESCRIPTOR, steps
from support.wire import confconn
from support.world import BEGIN, CALL, WALL, World

OFFER_DEPENDS_ON = [
    r"a=tool:sftd 5\..*",
    r"a=group:BUNDLE audio video data( \d+)+",
    r"a=rid:l recv",
    r"a=rid:h recv",
    r"a=simulcast:recv l;h",
    r"a=fingerprint:sha-256 [0-9A-F:]{95}",
    r"m=application 9 DTLS/SCTP 5000",
]
"""Lines clients look for in an offer (section 3.4.4)."""


async def test_checklist_01_confconn_is_answered_with_setup(world: World) -> None:
    response = await Door(world).post(world.client("ann"), confconn(CALL, "ann"))
    setup = json.loads(response.body)
    assert (response.status, response.json) == (200, True)
    assert {key: setup[key] for key in ("version", "type", "sessid", "src_userid", "resp", "url")} == {
        "version": "3.0",
        "type": "SETUP",
        "sessid": CALL,
        "src_userid": "sft",
        "resp": False,
        "url": "https://sft.example",
    }
    assert isinstance(setup["props"], dict)
    assert setup["sdp"].startswith("v=0\r\n")


async def test_checklist_02_the_offer_has_what_clients_depend_on(world: World) -> None:
    ann = world.client("ann")
    await Door(world).post(ann, confconn(CALL, "ann", toolver="10.5.8", vstreams=9))
    lines = ann.newest.offer.splitlines()
    for wanted in OFFER_DEPENDS_ON:
        assert sum(re.fullmatch(wanted, line) is not None for line in lines) >= 1, wanted
    slots = [line for line in lines if re.fullmatch(r"a=ssrc:[1-9]\d* msid:[\w-]+ [\w-]+", line)]
    assert len(slots) == 1 + 5 + 9
    assert len(set(ann.newest.slots)) == len(slots)
    sections = [line for line in lines if re.match(r"m=(audio|video) ", line)]
    assert lines.count("a=rtcp-mux") == len(sections) == 2 + 5 + 9
    assert {line.split(" ", 1)[1] for line in lines if line.startswith("a=rtpmap:")} == {
        "opus/48000/2",
        "VP8/90000",
        "rtx/90000",  # which clients keep (section 3.4.4)
    }
    assert len(ann.newest.offer.encode()) <= 16_383


async def test_checklist_03_an_answer_is_acknowledged_at_once(world: World) -> None:
    door, ann = Door(world), world.client("ann")
    await door.post(ann, confconn(CALL, "ann"))
    acknowledgement = json.loads((await door.answer(ann, ann.newest.answer())).body)
    assert {key: acknowledgement[key] for key in ("type", "resp", "status", "sessid")} == {
        "type": "CONFCONN",
        "resp": True,
        "status": 0,
        "sessid": CALL,
    }


def test_checklist_04_answers_may_lack_candidates_and_ssrcs(world: World) -> None:
    ann, bob = world.client("ann"), world.client("bob")
    for client, line in ((ann, ""), (bob, r"a=ssrc:\d+ cname:x\n")):  # bob has no microphone
        client.connect()
        assert "a=candidate" not in client.newest.answer()
        assert not re.search(r"m=video(.|\n)*a=ssrc", client.newest.answer())
        assert client.answer_with(re.sub(line, "", client.newest.answer())) == Accepted()
        client.start()
    world.run(1.0)
    assert [part["ssrc_audio"] for part in ann.roster] == [str(ann.end.audio_ssrc), "0"]


def test_checklist_04_candidates_stand_in_the_first_section_and_may_have_mdns_names(world: World) -> None:
    ann = world.client("ann")
    ann.connect()
    candidate = "candidate:{} 1 udp 2113937151 {} 50000 typ host generation 0"
    answer = ann.newest.answer()
    mdns = f"a={candidate.format(1, 'c8aa9b5c-53e2-4c4a-8a9d-1b8b8b2f7f0a.local')}\n"
    plain = f"a={candidate.format(2, '198.51.100.7')}\n"
    answer = answer.replace("a=mid:audio\n", f"a=mid:audio\n{mdns}{plain}")
    assert [one.host for one in read_answer_untrusted(answer).candidates] == ["198.51.100.7"]
    assert ann.answer_with(answer) == Accepted()
    ann.start()
    assert ann.newest.engine.channel_open


def test_checklist_05_the_channel_is_opened_by_us_and_answers_pings(world: World) -> None:
    (ann,) = world.join("ann", beats=False)
    sctp = ann.end.engine.sctp
    assert sctp is not None
    assert sctp._channel is not None
    assert sctp._channel.label == "calling-3.0"
    ann.say("PING")
    assert [pong["resp"] for pong in ann.of_type("PING")] == [True]


def test_checklist_06_everybody_is_told_of_each_join_and_leave(world: World) -> None:
    ann, bob, cid = world.join("ann", "bob", "cid")
    assert ann.users == bob.users == cid.users == ["ann", "bob", "cid"]
    bob.leave()
    world.run(1.0)
    assert ann.users == cid.users == ["ann", "cid"]
    newest = cid.of_type("CONFPART")[-1]
    strings = [newest["timestamp"], newest["seqno"]]
    strings += [part[key] for part in newest["participants"] for key in ("ssrc_audio", "ssrc_video")]
    assert all(isinstance(number, str) and number.isdigit() for number in strings)
    told = [part for client in (ann, bob, cid) for part in client.of_type("CONFPART")]
    assert [part["should_start"] for part in told].count(True) == 1


def test_checklist_07_media_flows_when_both_approve(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.approves = bob.approves = None
    for ann_says, bob_says in ((True, False), (False, True), (True, True)):
        ann.approve(*["bob"] * ann_says)
        bob.approve(*["ann"] * bob_says)
        assert (ann.talk()[0] in bob.heard(ann)) is (ann_says and bob_says)


def test_checklist_08_properties_are_relayed_verbatim_and_replayed(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    props = {"videosend": "true", "muted": "false", "unheard_of": "ü"}
    ann.say("PROPSYNC", props=props)
    (cid,) = world.join("cid")
    for receiver in (bob, cid):
        (relayed,) = receiver.of_type("PROPSYNC")
        assert (relayed["src_userid"], relayed["src_clientid"]) == ("ann", "_")
        assert relayed["props"] == props


def test_checklist_09_audio_comes_in_one_slot_under_the_name_of_its_sender(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    sent = ann.talk(20, level=33)
    received = bob.packets
    assert [packet.payload for packet in received] == sent
    assert {packet.csrc for packet in received} == {(int(bob.roster[0]["ssrc_audio"]),)}
    assert {packet.extensions[AUDIO_LEVEL] for packet in received} == {bytes([0x80 | 33])}
    assert len({packet.ssrc for packet in received} & set(bob.end.slots[1:6])) == 1
    assert steps([packet.sequence for packet in received]) == [1] * 19


def test_checklist_10_video_comes_in_the_slot_asked_for_under_the_name_of_its_sender(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    bob.want("nobody", "ann", quality=2)
    ann.show(rid="l")
    sent = ann.show(5, rid="h")
    received = bob.packets[-5:]
    assert [packet.payload for packet in received] == sent
    assert {packet.ssrc for packet in received} == {bob.end.slots[6 + 1]}
    assert {packet.csrc for packet in received} == {(int(bob.roster[0]["ssrc_video"]),)}
    assert all(FRAME_DESCRIPTOR in packet.extensions for packet in received)


def test_checklist_11_senders_are_asked_for_keyframes(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.show(keyframe=False)
    bob.want("ann")
    world.run(0.1)
    ssrc = ann.end.audio_ssrc + 100
    assert any(asks_for_keyframe(packet, ssrc) for packet in read_compounds(ann.end.rtcp))


@pytest.mark.parametrize("end", ["hangup", "close", "silence"])
def test_checklist_12_every_end_of_a_participant_is_told_to_the_rest(world: World, end: str) -> None:
    ann, bob = world.join("ann", "bob")
    match end:
        case "hangup":
            ann.leave()
            assert [answer["resp"] for answer in ann.of_type("HANGUP")] == [True]
        case "close":
            ann.close()
        case "silence":
            ann.vanish()
            world.run(20.0)
    world.run(1.0)
    assert bob.users == ["bob"]


def test_checklist_13_an_update_makes_a_new_connection_at_the_end_of_the_list(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    before = bob.roster[0]
    ann.approves = None
    ann.join(update=True)
    world.run(1.0)
    assert bob.users == ["bob", "ann"]
    assert bob.roster[1]["ssrc_audio"] == str(ann.end.audio_ssrc) != before["ssrc_audio"]
    ann.talk()
    assert bob.heard(ann) == []  # the approvals of the old connection are gone
    ann.approve("bob")
    assert ann.talk()[0] in bob.heard(ann)


def test_checklist_13_an_update_of_somebody_unknown_is_a_join(world: World) -> None:
    ann = world.client("ann")
    reply = ann.connect(update=True)
    assert isinstance(reply, Offered)
    assert (reply.update, reply.with_url) == (True, True)
    ann.answer()
    ann.start()
    world.run(1.0)
    assert ann.users == ["ann"]


def test_checklist_14_a_join_that_is_not_finished_expires_in_ten_seconds(world: World) -> None:
    losers = [world.client(user, call=user) for user in ("ann", "bob")]
    for client in losers:
        client.connect()
    world.run(9.9)
    assert world.open_ports == 2
    world.run(0.2)
    assert world.open_ports == 0
    assert not world.calls.calls


def test_checklist_17_the_time_of_a_list_is_unix_time_in_milliseconds(world: World) -> None:
    (ann,) = world.join("ann")
    assert int(ann.of_type("CONFPART")[0]["timestamp"]) == int((WALL + BEGIN) * 1000)


async def test_turn_servers_of_confconn_reach_the_transports(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Section 2.4.1; a transport may reach the client through them."""
    given: list[Sequence[IceServer]] = []
    real = world.context.open_transports

    def spy(receive: Receive, ice_servers: Sequence[IceServer]) -> Sequence[Transport]:
        given.append(ice_servers)
        return real(receive, ice_servers)

    monkeypatch.setattr(world.context, "open_transports", spy)
    turn = {"urls": "turn:198.51.100.9:3478?transport=udp", "username": "u", "credential": "c"}
    await Door(world).post(world.client("ann"), confconn(CALL, "ann", ice_servers=[turn]))
    assert [list(one) for one in given] == [[IceServer(turn["urls"], "u", "c")]]
