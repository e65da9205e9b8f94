"""Padding among the packets of a slot: numbers, repeats, and the frames it must not tear."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.forwarding.probe import send_padding
from sft.webrtc import rtcp

HIGH = 0x1111


def watched_call(call, slots: int):
    """A sender, and a receiver that shows it in so many of its three slots."""
    sender, receiver = call.join(), call.join()
    call.connect_all()
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)] * slots, call.now)
    sender.video(HIGH, "h", key=True, marker=True, sequence=100)
    return sender, receiver


def pad(call, receiver, count: int):
    send_padding(receiver.endpoint, count, call.now)
    return [packet for packet in receiver.drain() if packet.padded]


def test_padding_goes_to_a_slot_that_shows_nothing(call) -> None:
    sender, receiver = watched_call(call, 2)
    receiver.drain()
    padding = pad(call, receiver, 5)
    free = receiver.endpoint.video_slots[2]
    assert {packet.ssrc for packet in padding} == {free.ssrc}
    assert [packet.sequence - padding[0].sequence for packet in padding] == [0, 1, 2, 3, 4]
    assert {packet.payload for packet in padding} == {bytes(254) + b"\xff"}
    assert receiver.endpoint.padding == 5 * 255
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)] * 3, call.now)
    sender.video(HIGH, key=True)
    (first,) = [packet for packet in receiver.drain() if packet.ssrc == free.ssrc]
    assert first.sequence == padding[-1].sequence + 1


def test_padding_does_not_stand_between_the_packets_of_a_frame(call) -> None:
    sender, receiver = watched_call(call, 3)
    sender.video(HIGH)
    receiver.drain()
    assert pad(call, receiver, 2) == []
    assert receiver.endpoint.padding == 0
    sender.video(HIGH, marker=True)
    (last, *_) = receiver.drain()
    padding = pad(call, receiver, 2)
    sender.video(HIGH)
    (after, *_) = receiver.drain()
    assert [packet.sequence - last.sequence for packet in (*padding, after)] == [1, 2, 3]
    assert {packet.timestamp for packet in padding} == {last.timestamp}


@pytest.mark.parametrize("late", [103, 105])
def test_what_comes_late_does_not_take_the_numbers_of_padding(call, late: int) -> None:
    sender, receiver = watched_call(call, 3)
    for sequence in (101, 102, 104, 106):
        sender.video(HIGH, sequence=sequence, marker=True)
    receiver.drain()
    padding = pad(call, receiver, 4)
    sender.video(HIGH, sequence=late, payload=b"late")
    slot, *others = receiver.endpoint.video_slots
    assert {packet.ssrc for packet in receiver.drain()} == {other.ssrc for other in others}
    number = padding[0].sequence - (107 - late)
    receiver.send_rtcp(rtcp.write_nack(1, slot.ssrc, [number & 0xFFFF]))
    (repeat,) = receiver.drain()
    assert (repeat.payload, repeat.sequence) == (b"late", number & 0xFFFF)


events = st.one_of(
    st.tuples(st.just("frame"), st.integers(1, 4)),
    st.tuples(st.just("skip"), st.integers(1, 3)),
    st.tuples(st.just("late"), st.integers(1, 8)),
    st.tuples(st.just("pad"), st.integers(1, 6)),
)


@given(story=st.lists(events, max_size=40), slots=st.integers(1, 3))
def test_every_number_is_one_packets_and_every_packet_can_be_repeated(make_call, story, slots) -> None:
    call = make_call(5)
    sender, receiver = watched_call(call, slots)
    sequence, seen = 100, {100}
    for kind, count in story:
        call.now += 0.005
        if kind == "frame":
            for left in reversed(range(count)):
                sequence += 1
                seen.add(sequence)
                sender.video(HIGH, sequence=sequence, marker=not left, payload=b"%d" % sequence)
        elif kind == "skip":
            sequence += count
        elif kind == "late" and sequence - count > 100 and sequence - count not in seen:
            seen.add(sequence - count)
            sender.video(HIGH, sequence=sequence - count, payload=b"%d" % (sequence - count))
        elif kind == "pad":
            send_padding(receiver.endpoint, count, call.now)

    sent: dict[tuple[bytes, bytes], bytes] = {}
    for datagram, _ in receiver.wire.datagrams:
        if not 192 <= datagram[1] <= 223:
            name = datagram[8:12], datagram[2:4]
            assert sent.setdefault(name, datagram) == datagram, "two packets under one number"
    media = {packet.sequence: packet for packet in receiver.drain() if not packet.padded}
    slot = receiver.endpoint.video_slots[0]
    for (ssrc, number), datagram in list(sent.items())[-60:]:
        if int.from_bytes(ssrc, "big") == slot.ssrc and int.from_bytes(number, "big") in media:
            call.now += 0.005
            receiver.send_rtcp(rtcp.write_nack(1, slot.ssrc, [int.from_bytes(number, "big")]))
            assert [data for data, _ in receiver.wire.datagrams][:1] in ([datagram], [])
            receiver.wire.datagrams.clear()
    assert slot.last_sequence - slot.attachments[0].first + 1 >= len(seen)
