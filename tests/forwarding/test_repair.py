"""Generic NACK both ways."""

from __future__ import annotations

import itertools

import pytest

from sft.forwarding.keyframes import Cause
from sft.forwarding.repair import IN_VAIN, REPEAT_BURST, REPEAT_TIMES
from sft.webrtc import rtcp
from support.layers import HIGH, LOW, watch_layers


@pytest.fixture
def watched(call):
    sender, receiver = watch_layers(call)
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
    assert len(receiver.wire.datagrams) == 1 + 2 * (REPEAT_TIMES - 1)
    receiver.wire.datagrams.clear()
    for sequence in sequences:
        nack(receiver, sequence)
    assert len(receiver.wire.datagrams) <= REPEAT_BURST
    assert len(receiver.endpoint.video_slots[0].repeated) <= 256


def test_what_was_lost_twice_is_repeated_twice(call, watched) -> None:
    sender, receiver = watched
    sender.video(HIGH)
    (sent,) = [datagram for datagram, _ in receiver.wire.datagrams]
    for copies in (1, 2, 2):
        call.now += 0.1
        receiver.wire.datagrams.clear()
        nack(receiver, int.from_bytes(sent[2:4], "big"))
        assert [datagram for datagram, _ in receiver.wire.datagrams] == copies * [sent]


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
    call.now += 0.005
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


def lose_one(call, sender, sequence: int) -> list[float]:
    """Before this video packet one is missing for good: when it was asked for, in seconds since."""
    sender.video(HIGH, sequence=sequence)
    start, times = call.now, []
    while call.now < start + 2:
        call.advance(0.005)
        times += [call.now - start for _ in sender.asked(rtcp.Nack)]
        sequence += 1
        sender.video(HIGH, sequence=sequence)
    return times


@pytest.mark.parametrize(
    ("round_trip", "interval", "last"),
    [(0.0, 0.1, 0.6), (0.01, 0.03, 0.6), (0.2, 0.11, 0.7), (0.4, 0.22, 1.4), (1.0, 0.25, 1.5)],
)
def test_a_packet_is_asked_for_again_by_the_round_trip(
    call, watched, round_trip: float, interval: float, last: float
) -> None:
    sender, _ = watched
    sender.endpoint.round_trip = round_trip
    times = lose_one(call, sender, 103)
    assert times[0] == pytest.approx(0.01, abs=0.006)
    assert [b - a for a, b in itertools.pairwise(times)] == pytest.approx(
        [interval] * (len(times) - 1), abs=0.006
    )
    assert last - interval - 0.01 < times[-1] < last


def audio_gap(call, sender) -> tuple[int, bool]:
    """One audio packet is missing, those before are given up: its number, and whether it is asked for."""
    call.advance(0.7)
    sender.asked(rtcp.Nack)
    missing = sender.sequences[sender.audio_ssrc] + 1
    sender.audio(sequence=missing + 1)
    sender.sequences[sender.audio_ssrc] = missing + 1
    call.advance(0.02)
    return missing, [nack.lost for nack in sender.asked(rtcp.Nack)] == [(missing,)]


@pytest.fixture
def silent_on_nacks(call):
    """A sender of audio whose answer says nothing of NACKs, and somebody who hears it."""
    sender, _ = call.join(), call.join()
    call.connect_all()
    for _ in range(3):
        sender.audio()
    return sender


def test_audio_is_asked_for_in_vain_a_few_times_only(call, silent_on_nacks) -> None:
    sender, asked = silent_on_nacks, 0
    for _ in range(2 * IN_VAIN):
        asked += audio_gap(call, sender)[1]
    assert asked == IN_VAIN


def test_who_has_repeated_audio_once_is_always_asked(call, silent_on_nacks) -> None:
    sender = silent_on_nacks
    missing, _ = audio_gap(call, sender)
    sender.audio(sequence=missing)
    for _ in range(2 * IN_VAIN):
        assert audio_gap(call, sender)[1]


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
