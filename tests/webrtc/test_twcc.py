"""Transport-wide feedback, read back by a decoder written from the draft alone."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.webrtc.rtcp import TransportFeedback, parse_compound_untrusted
from sft.webrtc.twcc import ENOUGH, MAX_REACH, START_SECONDS, TransportRecorder


def decode(packet: bytes) -> tuple[int, int, int, dict[int, float | None]]:
    """(count field, base, reference in 64 ms, {16-bit number: arrival in ms, None: not received})."""
    first, kind, words = struct.unpack_from("!BBH", packet)
    assert (first & 0xDF, kind, 4 * words + 4) == (0x8F, 205, len(packet))
    end = len(packet) - (packet[-1] if first & 0x20 else 0)
    base, count, word = struct.unpack_from("!HHI", packet, 12)
    reference, feedback_count = word >> 8, word & 0xFF
    position, symbols = 20, []
    while len(symbols) < count:
        (chunk,) = struct.unpack_from("!H", packet, position)
        position += 2
        if not chunk >> 15:
            symbols += [chunk >> 13 & 3] * (chunk & 0x1FFF)
        elif not chunk >> 14 & 1:
            symbols += [chunk >> bit & 1 for bit in range(13, -1, -1)]
        else:
            symbols += [chunk >> bit & 3 for bit in range(12, -1, -2)]
    time = reference * 64.0
    arrivals: dict[int, float | None] = {}
    for index, symbol in enumerate(symbols[:count]):
        number = base + index & 0xFFFF
        if symbol == 1:
            time += packet[position] * 0.25
            position += 1
        elif symbol == 2:
            time += struct.unpack_from("!h", packet, position)[0] * 0.25
            position += 2
        else:
            assert symbol == 0
        arrivals[number] = time if symbol else None
    assert position == end
    return feedback_count, base, reference, arrivals


def decode_all(packets: list[bytes]) -> dict[int, float | None]:
    merged: dict[int, float | None] = {}
    for packet in packets:
        assert len(packet) <= 1200
        merged.update(decode(packet)[3])
    return merged


@given(
    start=st.sampled_from([0, 7, 65_500]),
    rounds=st.lists(
        st.lists(
            st.tuples(st.sampled_from([0, 0, 0, 0, 1, 3, 40]), st.floats(0, 0.09)), min_size=1, max_size=60
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_what_arrived_when_is_told_and_what_did_not_is_told_as_lost(
    start: int, rounds: list[list[tuple[int, float]]]
) -> None:
    recorder = TransportRecorder()
    number, now = start, 1000.0
    truth: dict[int, float] = {}
    told: dict[int, float | None] = {}
    for arrivals in rounds:
        for skipped, delay in arrivals:
            number += skipped
            now += delay
            truth[number & 0xFFFF] = now * 1000
            recorder.pending.append((number & 0xFFFF, now))
            number += 1
        told |= decode_all(recorder.feedback(1, 2))
    assert {n for n, time in told.items() if time is not None} == set(truth)
    assert set(told) == {(start + rounds[0][0][0] + i) & 0xFFFF for i in range(len(told))}
    for sequence, arrival in truth.items():
        assert told[sequence] == pytest.approx(arrival, abs=0.26)


@given(
    st.lists(
        st.lists(st.tuples(st.integers(-6, 9), st.floats(0, 0.002)), min_size=1, max_size=30),
        min_size=1,
        max_size=6,
    )
)
def test_in_whatever_order_they_come_each_feedback_has_the_news_and_contradicts_none_before(
    rounds: list[list[tuple[int, float]]],
) -> None:
    """Steps of less than one are packets that are late, or come twice: the first arrival counts."""
    recorder = TransportRecorder()
    number, now = 65_530, 1000.0
    truth: dict[int, float] = {}
    for steps in rounds:
        news = set()
        for step, delay in steps:
            number += step
            now += delay
            truth.setdefault(number & 0xFFFF, now * 1000)
            news.add(number & 0xFFFF)
            recorder.pending.append((number & 0xFFFF, now))
        told = decode_all(recorder.feedback(1, 2))
        assert news <= {sequence for sequence, time in told.items() if time is not None}
        for sequence, time in told.items():
            if time is None:
                assert sequence not in truth
            else:
                assert time == pytest.approx(truth[sequence], abs=0.26)


def test_three_arrivals_are_told_at_once_and_everything_within_a_quarter_of_a_second() -> None:
    recorder = TransportRecorder()
    assert not recorder.is_due(10.0, 0.1), "nothing is pending"
    recorder.pending.append((0, 10.0 - START_SECONDS))
    assert recorder.is_due(9.99, 0.1), "it is the start"
    recorder.feedback(1, 2)
    recorder.pending += [(number, 10.0) for number in range(1, ENOUGH)]
    assert not recorder.is_due(10.14, 0.1)
    assert recorder.is_due(10.16, 0.1), "the next time is too late"
    recorder.pending.append((ENOUGH, 10.01))
    assert recorder.is_due(10.01, 0.1)


def test_a_late_packet_makes_the_report_reach_back_without_losing_what_was_told() -> None:
    recorder = TransportRecorder()
    recorder.pending += [(1, 10.0), (3, 10.01)]
    assert decode_all(recorder.feedback(1, 2)) == {1: 10_000.0, 2: None, 3: 10_010.0}
    recorder.pending += [(2, 10.1), (4, 10.11)]
    assert decode_all(recorder.feedback(1, 2)) == {2: 10_100.0, 3: 10_010.0, 4: 10_110.0}


def test_loss_between_two_reports_is_told() -> None:
    recorder = TransportRecorder()
    recorder.pending.append((1, 10.0))
    recorder.feedback(1, 2)
    recorder.pending.append((4, 10.1))
    assert decode_all(recorder.feedback(1, 2)) == {2: None, 3: None, 4: 10_100.0}


def test_the_reference_is_in_64_ms_and_wraps_at_24_bits() -> None:
    recorder = TransportRecorder()
    recorder.pending.append((1, (1 << 24) * 0.064 + 0.064 * 5 + 0.01))
    _, _, reference, arrivals = decode(recorder.feedback(1, 2)[0])
    assert reference == 5
    assert arrivals == {1: 330.0}


def test_the_feedback_count_wraps_at_eight_bits() -> None:
    recorder = TransportRecorder()
    counts = []
    for number in range(300):
        recorder.pending.append((number, 1.0 + number))
        counts.append(decode(recorder.feedback(1, 2)[0])[0])
    assert counts == [number & 0xFF for number in range(300)]


def test_arrivals_too_far_apart_for_a_delta_go_into_another_packet() -> None:
    recorder = TransportRecorder()
    recorder.pending += [(1, 10.0), (2, 30.0)]
    packets = recorder.feedback(1, 2)
    assert len(packets) == 2
    assert decode_all(packets) == {1: 10_000.0, 2: 30_000.0}


def test_many_packets_are_split_over_datagrams() -> None:
    recorder = TransportRecorder()
    recorder.pending += [(number, 10 + number / 10_000) for number in range(1500)]
    packets = recorder.feedback(1, 2)
    assert len(packets) > 1
    assert len(decode_all(packets)) == 1500


def test_a_sender_that_jumps_about_costs_a_bounded_amount() -> None:
    recorder = TransportRecorder()
    for step in range(200):
        recorder.pending.append((step * 30_000 & 0xFFFF, 10 + step / 1000))
    packets = recorder.feedback(1, 2)
    assert sum(len(decode(packet)[3]) for packet in packets) <= MAX_REACH + 1
    recorder.pending.append((5, 11.0))
    assert recorder.feedback(1, 2)


def test_nothing_pending_is_nothing_to_say_and_little_is_remembered() -> None:
    recorder = TransportRecorder()
    assert recorder.feedback(1, 2) == []
    for number in range(20_000):
        recorder.pending.append((number & 0xFFFF, 10 + number / 1000))
        if number % 100 == 0:
            recorder.feedback(1, 2)
    assert sum(len(kept) for _, kept in recorder._kept) < 1000


def test_our_own_parser_knows_it() -> None:
    recorder = TransportRecorder()
    recorder.pending.append((1, 10.0))
    assert parse_compound_untrusted(recorder.feedback(1, 2)[0]) == [TransportFeedback(1, 2)]
