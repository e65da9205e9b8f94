"""What a receiver's RTCP says of the way to it."""

from __future__ import annotations

import pytest

from sft.forwarding.downlink import Downlink, Reason
from sft.webrtc import rtcp
from sft.webrtc.rtcp import ReportBlock
from support.slow_link import remb


@pytest.fixture
def downlink() -> Downlink:
    downlink = Downlink()
    downlink.takes_remb = True
    return downlink


def test_an_estimate_above_what_is_sent_says_nothing(downlink) -> None:
    downlink.take_remb(1_000_000, 0.0)
    downlink.take_remb(500_000, 0.5)
    assert downlink.congestion(400_000, 0.6) is None


def test_an_estimate_that_falls_below_what_is_sent_is_congestion(downlink) -> None:
    downlink.take_remb(1_000_000, 0.0)
    downlink.take_remb(500_000, 0.5)
    assert downlink.congestion(700_000, 0.6) is Reason.REMB
    assert downlink.allowance(Reason.REMB, 700_000, 0.6) == 500_000


def test_a_first_estimate_below_what_is_sent_may_only_be_the_beginning(downlink) -> None:
    downlink.take_remb(300_000, 5.0)
    assert downlink.congestion(700_000, 5.1) is None


@pytest.mark.parametrize(("growth", "stalls"), [(1.08, False), (1.0, True)])
def test_an_estimate_below_what_is_sent_has_to_grow(downlink, growth: float, stalls: bool) -> None:
    estimate = 300_000.0
    for step in range(15):
        estimate *= growth**0.2
        downlink.take_remb(int(estimate), step * 0.2)
        downlink.watch(700_000, step * 0.2)
    assert downlink.stalled is stalls
    assert downlink.has_room(3.0) is not stalls
    assert downlink.congestion(700_000, 3.0) is None, "alone it may be a pause of the estimator"
    downlink.take_loss(100, 5, 3.0)
    assert downlink.congestion(700_000, 3.0) is (Reason.REMB if stalls else None)


@pytest.mark.parametrize(("lost", "reason"), [(4, None), (15, Reason.LOSS)])
def test_a_tenth_of_the_packets_may_be_lost_by_other_things(downlink, lost: int, reason) -> None:
    downlink.take_loss(100, lost, 0.0)
    assert downlink.congestion(700_000, 0.1) is reason
    assert not downlink.has_room(0.1)


def test_a_few_packets_and_old_reports_say_nothing(downlink) -> None:
    downlink.take_loss(10, 9, 0.0)
    assert downlink.loss(0.1) == 0
    downlink.take_loss(100, 50, 0.1)
    assert downlink.loss(0.2) > 0.5
    assert downlink.loss(2.5) == 0


def test_a_long_queue_counts_where_no_estimate_is_to_be_expected() -> None:
    downlink = Downlink()
    for trip in (0.05, 0.3, 0.4):
        downlink.take_round_trip(trip)
    assert downlink.congestion(700_000, 0.0) is Reason.DELAY
    downlink.take_round_trip(0.3)
    assert downlink.congestion(700_000, 0.0) is None, "it gets shorter"
    downlink.takes_remb = True
    downlink.take_round_trip(0.5)
    assert downlink.congestion(700_000, 0.0) is None


def test_reports_and_estimates_are_kept_in_bounds(downlink) -> None:
    for _ in range(10_000):
        downlink.take_remb(1, 0.0)
        downlink.take_loss(1, 1, 0.0)
    assert len(downlink._reports) + len(downlink._history) <= 400


@pytest.fixture
def pair(call):
    sender, receiver = call.join(), call.join()
    call.connect_all()
    return sender, receiver


def block(slot, highest: int, lost: int, **fields: int) -> ReportBlock:
    return ReportBlock(slot.ssrc, 0, lost, highest, 0, fields.get("lsr", 0), fields.get("dlsr", 0))


def hears(call, sender, *sequences: int) -> None:
    for sequence in sequences:
        sender.audio(sequence=sequence)
        call.advance(0.02)


def test_what_was_lost_before_it_came_to_us_is_not_lost_on_the_way_from_us(call, pair) -> None:
    sender, receiver = pair
    slot = receiver.endpoint.audio_slots[0]
    hears(call, sender, *range(100, 110))
    first = slot.last_sequence
    assert slot.take_report(block(slot, first, 0)) == (0, 0)
    hears(call, sender, *range(110, 130), *range(140, 160))
    assert slot.take_report(block(slot, first + 50, 10)) == (50, 0)
    hears(call, sender, *range(160, 180))
    assert slot.take_report(block(slot, first + 70, 15)) == (20, 5)
    assert slot.lost == 15


def test_losses_at_the_end_of_what_was_sent_are_old_when_they_show(call, pair) -> None:
    sender, receiver = pair
    slot = receiver.endpoint.audio_slots[0]
    hears(call, sender, *range(100, 120))
    first = slot.last_sequence
    slot.take_report(block(slot, first - 10, 0))
    assert slot.take_report(block(slot, first - 10, 0)) == (0, 0)
    hears(call, sender, *range(120, 140))
    assert slot.take_report(block(slot, first + 20, 10)) == (0, 0)
    hears(call, sender, *range(140, 160))
    assert slot.take_report(block(slot, first + 40, 11)) == (20, 1)


def test_an_estimate_and_a_round_trip_come_by_rtcp(call, pair) -> None:
    sender, receiver = pair
    slot = receiver.endpoint.audio_slots[0]
    hears(call, sender, *range(100, 120))
    receiver.send_rtcp(rtcp.write_receiver_report(1) + remb(750_000))
    assert receiver.endpoint.budget.downlink.remb == 750_000
    for number in range(2):
        lsr = rtcp.ntp_from_unix(call.wall(call.now - 0.25 - number)) >> 16 & 0xFFFFFFFF
        told = block(slot, slot.last_sequence - 1 + number, 0, lsr=lsr, dlsr=int(0.1 * 65536))
        receiver.send_rtcp(rtcp.write_receiver_report(1, [told]))
    assert receiver.endpoint.round_trip == pytest.approx(1.15, abs=0.001)


def test_an_estimate_that_is_not_told_does_not_stand_still(downlink) -> None:
    downlink.take_remb(300_000, 0.0)
    downlink.take_loss(100, 5, 1.0)
    for step in range(15):
        downlink.watch(700_000, step * 0.2)
        assert not downlink.stalled
