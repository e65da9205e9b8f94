"""Which picture goes into which slot."""

from __future__ import annotations

from itertools import pairwise

import pytest

from sft.forwarding.keyframes import Cause
from sft.webrtc.rtcp import Pli

HIGH, LOW = 0x1111, 0x2222
ANY, QUALITY_LOW, QUALITY_HIGH = 0, 1, 2


@pytest.fixture
def room(call):
    sender, other, receiver = (call.join() for _ in range(3))
    call.connect_all()
    return sender, other, receiver


def start(call, sender) -> None:
    """Both layers flow."""
    sender.video(HIGH, "h", key=True)
    sender.video(LOW, "l", key=True)


def watch(call, receiver, *wanted) -> None:
    call.table.set_streams(
        receiver.endpoint, [(c and c.endpoint, quality) for c, quality in wanted], call.now
    )


def flow(call, sender, seconds: float, *ssrcs: int, key: bool = False) -> None:
    for _ in range(int(seconds / 0.05)):
        for ssrc in ssrcs:
            sender.video(ssrc, key=key, payload=ssrc.to_bytes(2, "big"))
        call.advance(0.05)


def shown(receiver) -> set[bytes]:
    return {packet.payload for packet in receiver.drain()}


def test_nothing_is_sent_before_it_was_asked_for(call, room) -> None:
    sender, _, receiver = room
    start(call, sender)
    assert receiver.drain() == []


def test_a_stream_starts_at_a_keyframe(call, room) -> None:
    sender, _, receiver = room
    start(call, sender)
    watch(call, receiver, (sender, QUALITY_HIGH))
    sender.video(HIGH)
    assert receiver.drain() == []
    sender.video(HIGH, key=True, payload=b"key")
    sender.video(HIGH, payload=b"delta")
    out = receiver.drain()
    assert [p.payload for p in out] == [b"key", b"delta"]
    assert out[0].csrcs == [sender.endpoint.ssrc_video]
    assert out[0].ssrc == receiver.endpoint.video_slots[0].ssrc


@pytest.mark.parametrize(("quality", "ssrc"), [(ANY, HIGH), (QUALITY_HIGH, HIGH), (QUALITY_LOW, LOW)])
def test_quality_names_the_layer(call, room, quality: int, ssrc: int) -> None:
    sender, _, receiver = room
    start(call, sender)
    watch(call, receiver, (sender, quality))
    flow(call, sender, 0.2, HIGH, LOW, key=True)
    assert shown(receiver) == {ssrc.to_bytes(2, "big")}


def test_the_old_layer_goes_on_until_a_keyframe_of_the_new_one(call, room) -> None:
    sender, _, receiver = room
    start(call, sender)
    watch(call, receiver, (sender, QUALITY_HIGH))
    flow(call, sender, 0.1, HIGH, LOW, key=True)
    first = receiver.drain()
    watch(call, receiver, (sender, QUALITY_LOW))
    flow(call, sender, 0.2, HIGH, LOW)
    between = receiver.drain()
    assert {p.payload for p in between} == {HIGH.to_bytes(2, "big")}
    flow(call, sender, 0.1, HIGH, LOW, key=True)
    after = receiver.drain()
    assert {p.payload for p in after[1:]} == {LOW.to_bytes(2, "big")}
    everything = [*first, *between, *after]
    assert [p.sequence - everything[0].sequence for p in everything] == list(range(len(everything)))
    steps = [b.timestamp - a.timestamp & 0xFFFFFFFF for a, b in pairwise(everything)]
    assert all(0 < step <= 4600 for step in steps)


def test_another_users_picture_stops_at_once(call, room) -> None:
    sender, other, receiver = room
    start(call, sender)
    start(call, other)
    watch(call, receiver, (sender, QUALITY_HIGH))
    sender.video(HIGH, key=True)
    receiver.drain()
    watch(call, receiver, (other, QUALITY_HIGH))
    sender.video(HIGH)
    other.video(HIGH)
    assert receiver.drain() == []
    other.video(HIGH, key=True)
    (out,) = receiver.drain()
    assert out.csrcs == [other.endpoint.ssrc_video]


def test_a_source_without_descriptors_switches_at_once(call, room) -> None:
    sender, _, receiver = room
    sender.video(HIGH, descriptor=False)
    watch(call, receiver, (sender, QUALITY_HIGH))
    sender.video(HIGH, descriptor=False)
    assert len(receiver.drain()) == 1


def test_a_user_that_moves_to_another_slot_is_shown_there(call, room) -> None:
    sender, other, receiver = room
    start(call, sender)
    start(call, other)
    watch(call, receiver, (sender, QUALITY_HIGH), (other, QUALITY_HIGH))
    sender.video(HIGH, key=True)
    other.video(HIGH, key=True)
    receiver.drain()
    watch(call, receiver, (other, QUALITY_HIGH), (sender, QUALITY_HIGH))
    sender.video(HIGH, key=True)
    other.video(HIGH, key=True)
    slots = receiver.endpoint.video_slots
    assert {p.ssrc: p.csrcs[0] for p in receiver.drain()} == {
        slots[0].ssrc: other.endpoint.ssrc_video,
        slots[1].ssrc: sender.endpoint.ssrc_video,
    }


def test_a_layer_that_is_switched_off_is_replaced_by_the_other_and_comes_back(call, room) -> None:
    sender, _, receiver = room
    start(call, sender)
    watch(call, receiver, (sender, QUALITY_LOW))
    flow(call, sender, 0.2, HIGH, LOW, key=True)
    assert shown(receiver) == {LOW.to_bytes(2, "big")}
    flow(call, sender, 1.5, HIGH)
    assert any(pli.media == HIGH for pli in sender.asked(Pli))
    flow(call, sender, 0.2, HIGH, key=True)
    assert shown(receiver) == {HIGH.to_bytes(2, "big")}
    flow(call, sender, 0.2, HIGH, LOW, key=True)
    flow(call, sender, 0.2, HIGH, LOW)
    assert list(receiver.drain())[-1].payload == LOW.to_bytes(2, "big")


def test_a_goodbye_for_a_layer_falls_back_at_once_and_the_layer_may_return(call, room) -> None:
    sender, _, receiver = room
    start(call, sender)
    watch(call, receiver, (sender, QUALITY_LOW))
    flow(call, sender, 0.2, HIGH, LOW, key=True)
    receiver.drain()
    sender.send_rtcp(bytes.fromhex("81cb0001") + LOW.to_bytes(4, "big"))
    sender.video(HIGH, key=True, payload=b"other layer")
    assert [p.payload for p in receiver.drain()] == [b"other layer"]
    sender.video(LOW, key=True)
    sender.video(LOW, key=True, payload=b"back")
    assert receiver.drain()[-1].payload == b"back"


def test_all_layers_silent_keeps_what_there_was(call, room) -> None:
    sender, _, receiver = room
    start(call, sender)
    watch(call, receiver, (sender, QUALITY_LOW))
    flow(call, sender, 0.2, HIGH, LOW, key=True)
    call.advance(5)
    flow(call, sender, 0.05, LOW)
    assert LOW.to_bytes(2, "big") in shown(receiver)


def test_a_keyframe_that_comes_late_does_not_start_a_stream(call, room) -> None:
    sender, _, receiver = room
    sender.video(HIGH, "h", sequence=100)
    watch(call, receiver, (sender, QUALITY_HIGH))
    sender.video(HIGH, sequence=102)
    sender.video(HIGH, key=True, sequence=101)
    assert receiver.drain() == []


def test_a_permission_taken_back_stops_the_picture(call, room) -> None:
    sender, _, receiver = room
    start(call, sender)
    watch(call, receiver, (sender, QUALITY_HIGH))
    sender.video(HIGH, key=True)
    receiver.drain()
    call.table.set_allowed(sender.endpoint, frozenset(), frozenset(), call.now)
    sender.video(HIGH, key=True)
    assert receiver.drain() == []
    call.connect_all()
    sender.video(HIGH, key=True)
    assert len(receiver.drain()) == 1


def test_two_slots_may_show_the_same_user(call, room) -> None:
    sender, _, receiver = room
    start(call, sender)
    watch(call, receiver, (sender, QUALITY_HIGH), (None, 0), (sender, QUALITY_LOW))
    flow(call, sender, 0.1, HIGH, LOW, key=True)
    slots = receiver.endpoint.video_slots
    assert {(p.ssrc, p.payload) for p in receiver.drain()} == {
        (slots[0].ssrc, HIGH.to_bytes(2, "big")),
        (slots[2].ssrc, LOW.to_bytes(2, "big")),
    }


def test_subscribing_asks_for_a_keyframe_and_repeats_until_one_was_forwarded(call, room) -> None:
    sender, _, receiver = room
    start(call, sender)
    watch(call, receiver, (sender, QUALITY_HIGH))
    assert [pli.media for pli in sender.asked(Pli)] == [HIGH]
    flow(call, sender, 4.0, HIGH, LOW)
    repeats = len(sender.asked(Pli))
    assert 3 <= repeats <= 6
    flow(call, sender, 0.1, HIGH, LOW, key=True)
    flow(call, sender, 4.0, HIGH, LOW)
    assert sender.asked(Pli) == []
    assert call.table.gate.causes[Cause.SUBSCRIPTION] == 1


def test_a_wish_made_while_the_camera_was_off_is_kept(call, room) -> None:
    sender, _, receiver = room
    start(call, sender)
    call.advance(30)
    watch(call, receiver, (sender, QUALITY_HIGH))
    call.advance(30)
    sender.asked(Pli)
    sender.video(HIGH)
    assert [pli.media for pli in sender.asked(Pli)] == [HIGH]
