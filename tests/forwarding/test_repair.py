"""Generic NACK both ways."""

from __future__ import annotations

import pytest

from sft.forwarding.keyframes import Cause
from sft.forwarding.repair import REPEAT_BURST, REPEAT_TIMES
from sft.webrtc import rtcp

HIGH, LOW = 0x1111, 0x2222


@pytest.fixture
def watched(call):
    """A sender whose layers a receiver watches, and its client takes NACKs."""
    sender, receiver = call.join(nack=True), call.join()
    call.connect_all()
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.video(LOW, "l", key=True)
    sender.video(HIGH, "h", key=True)
    call.advance(0.5)
    receiver.drain()
    sender.drain(), sender.rtcp.clear()
    return sender, receiver


def nack(receiver, *sequences: int) -> None:
    slot = receiver.endpoint.video_slots[0]
    report = rtcp.write_receiver_report(1)
    receiver.send_rtcp(report + rtcp.write_nack(1, slot.ssrc, sorted(sequences)))


def test_a_repeat_is_byte_identical_on_the_wire(call, watched) -> None:
    sender, receiver = watched
    for _ in range(5):
        sender.video(HIGH, payload=call.random.randbytes(200))
    sent = [datagram for datagram, _ in receiver.wire.datagrams]
    receiver.wire.datagrams.clear()
    nack(receiver, int.from_bytes(sent[2][2:4], "big"))
    assert [datagram for datagram, _ in receiver.wire.datagrams] == [sent[2]]


def test_a_repeat_after_a_layer_switch_has_the_numbers_of_its_time(call, watched) -> None:
    sender, receiver = watched
    sender.video(HIGH, payload=b"before")
    (before,) = [datagram for datagram, _ in receiver.wire.datagrams]
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 1)], call.now)
    sender.video(LOW, key=True)
    sender.video(LOW)
    receiver.wire.datagrams.clear()
    nack(receiver, int.from_bytes(before[2:4], "big"))
    assert [datagram for datagram, _ in receiver.wire.datagrams] == [before]


def test_what_is_too_old_or_unknown_is_not_repeated(call, watched) -> None:
    sender, receiver = watched
    sender.video(HIGH)
    (out,) = receiver.drain()
    nack(receiver, out.sequence + 1, out.sequence - 2000 & 0xFFFF)
    assert receiver.wire.datagrams == []
    call.now += 1.1
    nack(receiver, out.sequence)
    assert receiver.wire.datagrams == []


def test_nobody_can_make_us_repeat_more_than_a_little(call, watched) -> None:
    sender, receiver = watched
    for _ in range(200):
        sender.video(HIGH)
    sequences = [packet.sequence for packet in receiver.drain()]
    for _ in range(20):
        nack(receiver, sequences[-1])
    assert len(receiver.wire.datagrams) == 1
    for _ in range(20):
        call.now += 0.02
        nack(receiver, sequences[-1])
    assert len(receiver.wire.datagrams) == REPEAT_TIMES
    receiver.wire.datagrams.clear()
    for sequence in sequences:
        nack(receiver, sequence)
    assert len(receiver.wire.datagrams) <= REPEAT_BURST
    assert len(receiver.endpoint.video_slots[0].repeated) <= 256


def test_a_nack_for_somebody_elses_stream_is_ignored(call, watched) -> None:
    sender, receiver = watched
    sender.video(HIGH)
    (out,) = receiver.drain()
    sender.send_rtcp(rtcp.write_nack(1, out.ssrc, [out.sequence]))
    assert receiver.wire.datagrams == []
    assert sender.drain() == []


def test_a_lost_packet_is_asked_for_and_forwarded_at_its_place(call, watched) -> None:
    sender, receiver = watched
    sender.video(HIGH, sequence=102)
    sender.video(HIGH, sequence=104)
    call.advance(0.03)
    (asked,) = sender.asked(rtcp.Nack)
    assert (asked.ssrc, asked.media, asked.lost) == (sender.endpoint.rtcp_ssrc, HIGH, (103,))
    sender.video(HIGH, sequence=103, payload=b"repeated")
    first, second, repaired = receiver.drain()
    assert repaired.payload == b"repeated"
    assert repaired.sequence == first.sequence + 1 == second.sequence - 1
    call.advance(1.0)
    assert sender.asked(rtcp.Nack) == []


def test_reordering_is_not_asked_for(call, watched) -> None:
    sender, _ = watched
    sender.video(HIGH, sequence=103)
    call.now += 0.01
    sender.video(HIGH, sequence=102)
    call.advance(0.5)
    assert sender.asked(rtcp.Nack) == []


def test_only_when_repair_has_failed_a_keyframe_is_asked_for(call, watched) -> None:
    sender, _ = watched
    sender.video(HIGH, sequence=102)
    sender.video(HIGH, sequence=104)
    call.advance(0.4)
    sender.drain()
    assert not [p for p in sender.rtcp if isinstance(p, rtcp.Pli)]
    for sequence in range(105, 115):
        sender.video(HIGH, sequence=sequence)
        call.advance(0.05)
    sender.drain()
    assert len([p for p in sender.rtcp if isinstance(p, rtcp.Nack)]) == 6
    assert [p.media for p in sender.rtcp if isinstance(p, rtcp.Pli)] == [HIGH]
    assert call.table.gate.causes[Cause.REPAIR_FAILED] == 1


def test_a_sender_that_takes_no_nacks_is_asked_for_a_keyframe_soon(call) -> None:
    sender, receiver = call.join(), call.join()
    call.connect_all()
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.video(HIGH, "h", key=True, sequence=10)
    call.advance(0.6)
    sender.asked(rtcp.Pli)
    sender.video(HIGH, sequence=12)
    call.advance(0.15)
    sender.drain()
    assert not [p for p in sender.rtcp if isinstance(p, rtcp.Nack)]
    assert [p.media for p in sender.rtcp if isinstance(p, rtcp.Pli)] == [HIGH]


def test_a_large_gap_is_not_asked_for_packet_by_packet(call, watched) -> None:
    sender, _ = watched
    sender.video(HIGH, sequence=102)
    sender.video(HIGH, sequence=102 + 500)
    call.advance(0.2)
    sender.drain()
    assert not [p for p in sender.rtcp if isinstance(p, rtcp.Nack)]
    assert [p.media for p in sender.rtcp if isinstance(p, rtcp.Pli)] == [HIGH]
