"""What tables count: traffic by kind, the fate of missing packets, and what reports say."""

from __future__ import annotations

import pytest

from sft.forwarding.counters import Carried, MediaCounters
from sft.webrtc import rtcp

HIGH = 0x1111


@pytest.fixture
def pair(call):
    sender, receiver = call.join(nack=True), call.join(nack=True)
    call.connect_all()
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    return sender, receiver


def carried(call) -> Carried:
    counters: MediaCounters = call.table.counters
    return counters.total(call.table.endpoints)


def flows(carried: Carried) -> dict[str, tuple[int, ...]]:
    names = ("audio", "video", "rtcp")
    return {
        name: (
            carried.received[name].packets,
            carried.received[name].octets,
            carried.sent[name].packets,
            carried.sent[name].octets,
        )
        for name in names
    }


def test_traffic_is_counted_by_kind_and_direction(call, pair) -> None:
    sender, receiver = pair
    for index in range(10):
        sender.audio(30)
        sender.video(HIGH, "h", key=not index)
        call.advance(0.02)
    report = rtcp.write_receiver_report(7)
    receiver.send_rtcp(report)
    counted = flows(carried(call))
    assert counted["audio"] == (10, 10 * len(b"sound"), 10, 10 * len(b"sound"))
    assert counted["video"] == (10, 10 * len(b"picture"), 10, 10 * len(b"picture"))
    assert counted["rtcp"][:2] == (1, len(report))
    sender.drain(), receiver.drain()
    compounds = [raw for client in pair for raw in client.raw_rtcp]
    assert counted["rtcp"][2:] == (len(compounds), sum(map(len, compounds)))


def test_what_was_carried_stays_counted_when_streams_and_participants_end(call, pair) -> None:
    sender, _ = pair
    for index in range(10):
        sender.audio(30)
        sender.video(HIGH, "h", key=not index)
        call.advance(0.02)
    before = flows(carried(call))
    sender.video(HIGH + 1, "h", key=True)  # the layer begins anew under another SSRC
    sender.video(HIGH + 1, "h", sequence=105)
    between = flows(carried(call))
    assert between["video"][0] == before["video"][0] + 2
    for client in pair:
        call.table.remove(client.endpoint, call.now)
        client.endpoint.close()
    assert flows(carried(call)) == between
    assert len(call.table.endpoints) == 0


def test_tables_of_a_worker_share_their_counters(make_call) -> None:
    counters = MediaCounters()
    for seed in (1, 2):
        call = make_call(seed)
        call.table.counters = counters
        sender = call.join()
        call.join()
        call.connect_all()
        sender.audio(30)
        for client in call.clients:
            call.table.remove(client.endpoint, call.now)
    assert counters.total([]).sent["audio"].packets == 2


# What became of missing packets


def test_a_packet_that_only_came_late_is_reordered(call, pair) -> None:
    sender, _ = pair
    for sequence in (101, 103, 102):
        sender.audio(30, sequence=sequence)
    total = carried(call)
    assert (total.reordered, total.repaired, total.lost, total.asked) == (1, 0, 0, 0)


def test_a_packet_that_came_when_asked_for_is_repaired(call, pair) -> None:
    sender, _ = pair
    sender.audio(30, sequence=101)
    sender.audio(30, sequence=103)
    call.advance(0.15)  # asked for twice
    sender.audio(30, sequence=102)
    total = carried(call)
    assert (total.reordered, total.repaired, total.lost, total.asked) == (0, 1, 0, 2)


def test_a_packet_that_never_comes_is_lost(call, pair) -> None:
    sender, _ = pair
    sender.audio(30, sequence=101)
    sender.audio(30, sequence=104)
    call.advance(2)
    total = carried(call)
    assert (total.reordered, total.repaired, total.lost) == (0, 0, 2)


def test_a_burst_too_long_to_ask_for_is_lost_and_a_new_beginning_is_not(call, pair) -> None:
    sender, _ = pair
    sender.audio(30, sequence=101)
    sender.audio(30, sequence=301)
    assert carried(call).lost == 199
    sender.audio(30, sequence=20_000)
    call.advance(2)
    assert carried(call).lost == 199


def test_what_receivers_ask_for_and_get_again(call, pair) -> None:
    sender, receiver = pair
    for _ in range(3):
        sender.audio(30)
    slot = next(slot for slot in receiver.endpoint.audio_slots if slot.source is not None)
    last = slot.last_sequence & 0xFFFF
    receiver.send_rtcp(rtcp.write_nack(7, slot.ssrc, [last - 1, last, last + 50]))
    total = carried(call)
    assert (total.nacked, total.repeated) == (3, 2)


def test_keyframe_requests_are_counted_by_cause_and_by_participant(call, pair) -> None:
    sender, receiver = pair
    sender.video(HIGH, "h", key=True)
    call.advance(1)
    asked = call.table.counters.keyframes_asked
    slot = receiver.endpoint.video_slots[0]
    receiver.send_rtcp(rtcp.write_pli(7, slot.ssrc))
    assert call.table.counters.keyframes_wanted["receiver_pli"] == 1
    assert call.table.counters.keyframes_asked == asked + 1 == sender.endpoint.keyframes_asked
    assert (receiver.endpoint.keyframes_wanted, receiver.endpoint.keyframes_asked) == (1, 0)


# What reports say


def report(slot, *, fraction: int = 0, jitter: int = 0, lsr: int = 0, dlsr: int = 0) -> bytes:
    return rtcp.write_receiver_report(7, [rtcp.ReportBlock(slot.ssrc, fraction, 0, 0, jitter, lsr, dlsr)])


def middle(unix: float) -> int:
    """The middle 32 bits of NTP time, as LSR has them."""
    return rtcp.ntp_from_unix(unix) >> 16 & 0xFFFFFFFF


def audio_slot(receiver):
    return next(slot for slot in receiver.endpoint.audio_slots if slot.source is not None)


def test_the_round_trip_time_is_that_of_rfc_3550(call, pair) -> None:
    sender, receiver = pair
    sender.audio(30)
    call.advance(0.8)
    receiver.drain()
    sent = next(packet for packet in receiver.rtcp if isinstance(packet, rtcp.SenderReport))
    at = rtcp.unix_from_ntp(sent.ntp) - call.wall(0)
    call.now = at + 0.080 + 0.5  # it held the report for half a second
    lsr = sent.ntp >> 16 & 0xFFFFFFFF
    receiver.send_rtcp(report(audio_slot(receiver), lsr=lsr, dlsr=int(0.5 * 65536)))
    assert receiver.endpoint.round_trip == pytest.approx(0.080, abs=0.0005)
    distribution = call.table.counters.round_trip.read()
    assert sum(distribution.counts) == 1
    assert distribution.sum == pytest.approx(0.080, abs=0.0005)


@pytest.mark.parametrize("lsr_ahead", [0.001, 3600.0])
def test_a_round_trip_time_that_cannot_be_is_not_believed(call, pair, lsr_ahead: float) -> None:
    sender, receiver = pair
    sender.audio(30)
    receiver.send_rtcp(report(audio_slot(receiver), lsr=middle(call.wall(call.now + lsr_ahead)), dlsr=0))
    receiver.send_rtcp(report(audio_slot(receiver), lsr=0, dlsr=5))  # it has had no sender report yet
    assert receiver.endpoint.round_trip == 0.0
    assert sum(call.table.counters.round_trip.read().counts) == 0


def test_loss_and_jitter_downstream_are_what_the_receiver_says(call, pair) -> None:
    sender, receiver = pair
    sender.audio(30)
    receiver.send_rtcp(report(audio_slot(receiver), fraction=64, jitter=960))
    counters = call.table.counters
    assert (receiver.endpoint.downstream.loss, receiver.endpoint.downstream.jitter) == (0.25, 0.02)
    assert (counters.loss_sent["audio"].read().sum, counters.jitter_sent["audio"].read().sum) == (0.25, 0.02)
    assert sum(counters.loss_sent["video"].read().counts) == 0
    receiver.send_rtcp(report(audio_slot(receiver), jitter=0xFFFFFFFF))
    assert receiver.endpoint.downstream.jitter == 0.02


def test_loss_and_jitter_upstream_are_what_we_measure(call, pair) -> None:
    sender, _ = pair
    sender.audio(30)
    call.advance(0.2)
    for index in range(1, 100):
        sender.audio(30, sequence=101 + index + index // 10)  # one of eleven is lost
        call.advance(0.02)
    counters = call.table.counters
    losses = counters.loss_received["audio"].read()
    assert sum(losses.counts) == sum(counters.jitter_received["audio"].read().counts) >= 1
    assert losses.sum >= sender.endpoint.upstream.loss == pytest.approx(1 / 11, abs=0.04)
    before = sum(losses.counts)
    call.advance(30)  # nothing comes, and nothing is said about it
    assert sum(counters.loss_received["audio"].read().counts) <= before + 2
