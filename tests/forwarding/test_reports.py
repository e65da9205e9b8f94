"""RTCP housekeeping: what each side is told, and when."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest

from sft.forwarding.keyframes import Cause
from sft.model import Drop
from sft.webrtc import rtcp

HIGH = 0x1111


def sender_report(ssrc: int, unix: float, timestamp: int) -> bytes:
    return rtcp.write_sender_report(ssrc, rtcp.ntp_from_unix(unix), timestamp, 1, 1)


def stream(call, client, packets: int, *, step: float = 0.04, skip: tuple[int, ...] = ()) -> None:
    for index in range(packets):
        if index in skip:
            client.sequences[client.audio_ssrc] = client.sequences.get(client.audio_ssrc, 100) + 1
        else:
            client.audio(30)
        call.advance(step)


@pytest.fixture
def pair(call):
    sender, receiver = call.join(), call.join()
    call.connect_all()
    return sender, receiver


def test_a_new_source_is_reported_on_within_a_tenth_of_a_second(call, pair) -> None:
    sender, _ = pair
    call.advance(10)
    sender.video(HIGH, "h")
    call.advance(0.11)
    (report,) = sender.asked(rtcp.ReceiverReport)
    assert [block.ssrc for block in report.blocks] == [HIGH]
    assert report.ssrc == sender.endpoint.rtcp_ssrc


def test_what_was_repeated_is_reported_as_lost(call, pair) -> None:
    sender, _ = pair
    stream(call, sender, 1)
    call.advance(0.2)
    sender.drain(), sender.rtcp.clear()
    stream(call, sender, 20, skip=(9,), step=0.02)
    sender.audio(30, sequence=sender.sequences[sender.audio_ssrc] - 10)
    call.advance(1.2)
    blocks = [block for report in sender.asked(rtcp.ReceiverReport) for block in report.blocks]
    assert blocks[-1].lost == 1
    assert sum(block.fraction for block in blocks) > 0


def test_reports_come_about_every_second_and_stop_with_the_media(call, pair) -> None:
    sender, _ = pair
    stream(call, sender, 250)
    assert 8 <= len(sender.asked(rtcp.ReceiverReport)) <= 15
    call.advance(2)
    sender.drain(), sender.rtcp.clear()
    call.advance(60)
    assert sender.asked(rtcp.ReceiverReport) == []
    assert len(call.wakes) == 0


def test_loss_and_highest_number_are_those_of_rfc_3550(call, pair) -> None:
    sender, _ = pair
    stream(call, sender, 1)
    call.advance(0.2)
    sender.drain(), sender.rtcp.clear()
    stream(call, sender, 100, step=0.002, skip=(10, 20, 30, 40, 50, 60, 70, 80, 90, 95))
    source = sender.audio_source()
    block = source.report_block(call.now)
    assert block.lost == 10
    assert block.fraction == 10 * 256 // 100
    assert block.highest == 201
    assert source.report_block(call.now).fraction == 0
    assert source.report_block(call.now).lost == 10


def test_jitter_is_that_of_rfc_3550_appendix_a8(call, pair, packet) -> None:
    sender, _ = pair
    arrivals = [0.0, 0.021, 0.039, 0.065, 0.080, 0.111, 0.120]
    expected, previous = 0.0, None
    start = call.now
    for index, arrival in enumerate(arrivals):
        call.now = start + arrival
        timestamp = index * 960
        sender.send(packet(sender.audio_ssrc, 10 + index, timestamp, payload_type=111))
        transit = arrival * 48_000 - timestamp
        if previous is not None:
            expected += (abs(transit - previous) - expected) / 16
        previous = transit
    assert sender.audio_source().report_block(call.now).jitter == pytest.approx(expected, abs=2)


def test_the_delay_since_the_last_sender_report_is_told(call, pair) -> None:
    sender, _ = pair
    stream(call, sender, 1)
    ntp_unix = 1_700_000_000.25
    sender.send_rtcp(sender_report(sender.audio_ssrc, ntp_unix, 960))
    call.now += 0.5
    block = sender.audio_source().report_block(call.now)
    assert block.lsr == rtcp.ntp_from_unix(ntp_unix) >> 16 & 0xFFFFFFFF
    assert block.dlsr == 32768


def test_slots_get_sender_reports_that_continue_their_own_timeline(call, pair) -> None:
    sender, receiver = pair
    stream(call, sender, 50)
    first, last = receiver.drain()[0], receiver.rtp[-1]
    reports = [p for p in receiver.rtcp if isinstance(p, rtcp.SenderReport)]
    assert {r.ssrc for r in reports} == {receiver.endpoint.audio_slots[0].ssrc}
    assert 1 <= len(reports) <= 3
    for report in reports:
        wall = rtcp.unix_from_ntp(report.ntp)
        since = wall - call.wall(1000.0)
        assert report.rtp - first.timestamp & 0xFFFFFFFF == pytest.approx(since * 48_000, abs=48)
    call.now = round(call.now, 6)
    assert last.timestamp - first.timestamp == pytest.approx(49 * 1920, abs=2)
    names = [p for p in receiver.rtcp if isinstance(p, rtcp.SourceDescription)]
    slot = receiver.endpoint.audio_slots[0]
    assert names[0].cnames == ((slot.ssrc, slot.label),)
    assert reports[-1].packets <= 50
    assert reports[-1].octets == 5 * reports[-1].packets


def test_audio_and_video_of_one_participant_share_one_clock_whatever_the_delay(call, pair) -> None:
    """The sender's clock is 1000 s off; its video takes 80 ms longer than its audio."""
    sender, receiver = pair
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    their = call.wall(call.now) - 1000.0
    sender.audio(0)
    sender.send_rtcp(sender_report(sender.audio_ssrc, their, 48_000_000))
    call.now += 0.08
    sender.video(HIGH, "h", key=True)
    sender.send_rtcp(sender_report(HIGH, their, 90_000_000))
    call.now += 0.02
    call.table.tick(call.now)
    call.advance(1.5)
    receiver.drain()
    moments = {}
    audio, video = receiver.endpoint.audio_slots[0], receiver.endpoint.video_slots[0]
    for report in receiver.rtcp:
        if isinstance(report, rtcp.SenderReport):
            slot = audio if report.ssrc == audio.ssrc else video
            rate, captured = (48_000, 48_000_000) if slot is audio else (90_000, 90_000_000)
            source_rtp = report.rtp - slot.attachments[-1].timestamp_offset & 0xFFFFFFFF
            ahead = source_rtp - captured & 0xFFFFFFFF
            moments[slot.kind] = rtcp.unix_from_ntp(report.ntp) - ahead / rate
    assert len(moments) == 2
    assert moments["audio"] == pytest.approx(moments["video"], abs=0.001)
    assert moments["audio"] == pytest.approx(call.wall(1000.0), abs=0.001)


def test_nonsense_in_a_sender_report_does_not_reach_receivers(call, pair) -> None:
    sender, receiver = pair
    sender.audio(0)
    sender.send_rtcp(sender_report(sender.audio_ssrc, -2_000_000_000, 7))
    sender.send_rtcp(sender_report(sender.audio_ssrc, 2_000_000_000, 7))
    stream(call, sender, 30)
    out = receiver.drain()
    report = [p for p in receiver.rtcp if isinstance(p, rtcp.SenderReport)][-1]
    assert report.rtp - out[0].timestamp & 0xFFFFFFFF < 3 * 48_000


class ManySlots:
    """A receiver with eight slots, each with a source of its own."""

    def __init__(self, call) -> None:
        self._call = call
        self._senders = [call.join() for _ in range(8)]
        self._receiver = call.join()
        call.connect_all()
        endpoint = self._receiver.endpoint
        one = endpoint.video_slots[0]
        self._slots = [type(one)(endpoint, one.kind, str(i), i, "L" * 36, 0, 0) for i in range(8)]
        endpoint.slots = {slot.ssrc: slot for slot in self._slots}
        self.told_in(2)
        for slot, sender in zip(self._slots, self._senders, strict=True):
            slot.attach(sender.endpoint.layers["h"], call.now)

    def told_in(self, rounds: int) -> list[set[int]]:
        """The slots of each compound in so many tenths of a second."""
        compounds = []
        for _ in range(rounds):
            for ssrc, sender in enumerate(self._senders):
                sender.video(ssrc + 1, "h")
            self._call.advance(0.1)
            if told := {report.ssrc for report in self._receiver.asked(rtcp.SenderReport)}:
                compounds.append(told)
        return compounds

    def switch(self, number: int) -> None:
        """To another source."""
        slot = self._slots[number]
        slot.detach()
        slot.attach(self._senders[(number + 1) % 8].endpoint.layers["h"], self._call.now)
        slot.source.reroute()


def test_many_slots_take_turns_in_sender_reports_after_two_of_each(call) -> None:
    first, second, *others = ManySlots(call).told_in(80)
    assert first == second == set(range(8))
    assert {len(told) for told in others} == {4}
    for told, told_next in pairwise(others):
        assert told | told_next == set(range(8))


def test_a_slot_that_switched_is_told_of_until_the_receiver_has_forgotten_the_source_before(call) -> None:
    """libwebrtc synchronises by the last twenty reports."""
    slots = ManySlots(call)
    slots.told_in(40)
    slots.switch(0)
    compounds = slots.told_in(300)
    assert all(0 in told for told in compounds[:20])
    assert not all(0 in told for told in compounds[20:24])
    assert {len(told) for told in compounds} == {4}


def test_slots_that_switch_all_the_time_leave_a_turn_to_the_others(call) -> None:
    slots = ManySlots(call)
    slots.told_in(40)
    others = []
    for _ in range(6):
        for number in range(5):
            slots.switch(number)
        others += [told - set(range(5)) for told in slots.told_in(10)]
    assert {len(told) for told in others} == {1}
    for three in zip(others, others[1:], others[2:], strict=False):
        assert set.union(*three) == {5, 6, 7}


def test_transport_feedback_goes_out_every_tenth_of_a_second_also_for_padding(call, pair) -> None:
    sender, _ = pair
    for number in range(100):
        payload = b"" if number % 2 else bytes(700)
        sender.video(HIGH, "h", transport=number, payload=payload, padding=0 if payload else 255)
        call.advance(0.01)
    call.advance(0.2)
    assert 9 <= len(sender.asked(rtcp.TransportFeedback)) <= 11
    assert sender.endpoint.transport.pending == []


@pytest.mark.parametrize(("size", "step", "least", "most"), [(50, 0.05, 19, 21), (1100, 0.1, 13, 21)])
def test_who_sends_little_gets_transport_feedback_four_or_five_times_a_second(
    call, pair, size: int, step: float, least: int, most: int
) -> None:
    sender, _ = pair
    sender.video(HIGH, "h", transport=0)
    call.advance(10)
    sender.asked(rtcp.TransportFeedback)
    for number in range(1, 1 + round(4 / step)):
        sender.video(HIGH, "h", transport=number, payload=bytes(size))
        call.advance(step)
    assert least <= len(sender.asked(rtcp.TransportFeedback)) <= most


def test_at_the_start_who_sends_little_is_answered_in_every_round_too(call, pair) -> None:
    sender, _ = pair
    for number in range(20):
        sender.video(HIGH, "h", transport=number)
        call.advance(0.1)
    assert 18 <= len(sender.asked(rtcp.TransportFeedback)) <= 20


def test_no_arrival_waits_longer_than_a_quarter_of_a_second(call, pair) -> None:
    sender, _ = pair
    call.advance(10)
    for number in range(40):
        sender.video(HIGH, "h", transport=number, payload=bytes(50))
        call.advance(0.251)
        assert len(sender.asked(rtcp.TransportFeedback)) == 1
        call.advance(0.037)


def test_a_burst_of_probing_gets_transport_feedback_in_the_next_round(call, pair) -> None:
    sender, _ = pair
    sender.video(HIGH, "h", transport=0, payload=bytes(50))
    call.advance(10)
    sender.asked(rtcp.TransportFeedback)
    for number in range(1, 6):
        sender.video(HIGH, transport=number, payload=b"", padding=255)
        call.advance(0.003)
    call.advance(0.1)
    assert len(sender.asked(rtcp.TransportFeedback)) == 1


def test_who_leaves_is_owed_no_feedback(call, pair) -> None:
    sender, _ = pair
    sender.video(HIGH, "h", transport=0)
    call.table.remove(sender.endpoint, call.now)
    call.advance(5)
    assert sender.asked(rtcp.TransportFeedback) == []
    assert call.wakes == []


def test_padding_alone_still_gets_transport_feedback(call, pair) -> None:
    sender, _ = pair
    sender.video(HIGH, "h")
    call.advance(10)
    sender.asked(rtcp.TransportFeedback)
    sender.video(HIGH, transport=5, payload=b"", padding=100)
    call.advance(0.25)
    assert len(sender.asked(rtcp.TransportFeedback)) == 1


def test_every_packet_of_a_compound_counts(call, pair) -> None:
    sender, receiver = pair
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.video(HIGH, "h", key=True)
    call.advance(2)
    sender.video(HIGH, key=True)
    sender.asked(rtcp.Pli)
    slot = receiver.endpoint.video_slots[0]
    block = rtcp.ReportBlock(slot.ssrc, 0, 17, 0, 0, 0, 0)
    compound = rtcp.write_receiver_report(1, [block]) + rtcp.write_description([rtcp.cname_chunk(1, "x")])
    receiver.send_rtcp(compound + rtcp.write_pli(1, slot.ssrc))
    assert slot.lost == 17
    assert [pli.media for pli in sender.asked(rtcp.Pli)] == [HIGH]
    receiver.send_rtcp(rtcp.write_fir(1, slot.ssrc, 3))
    assert call.table.gate.causes[Cause.RECEIVER_PLI] == 1
    assert call.table.gate.causes[Cause.RECEIVER_FIR] == 1


@pytest.mark.parametrize(("silence", "asked"), [(2.0, []), (10.0, [HIGH])])
def test_who_comes_back_from_an_outage_gets_a_keyframe_at_once(call, pair, silence, asked) -> None:
    sender, receiver = pair
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.video(HIGH, "h", key=True)
    receiver.send_rtcp(rtcp.write_receiver_report(1))
    for _ in range(round(silence / 0.1)):
        call.advance(0.1)
        sender.video(HIGH)
    sender.asked(rtcp.Pli)
    receiver.send_rtcp(rtcp.write_receiver_report(1))
    assert [pli.media for pli in sender.asked(rtcp.Pli)] == asked
    assert call.table.gate.causes[Cause.RECEIVER_BACK] == len(asked)


def test_a_storm_of_pli_from_all_receivers_is_one_request(call) -> None:
    sender, *receivers = (call.join() for _ in range(10))
    call.connect_all()
    for receiver in receivers:
        call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.video(HIGH, "h", key=True)
    call.advance(1)
    sender.video(HIGH, key=True)
    sender.asked(rtcp.Pli)
    for receiver in receivers:
        receiver.send_rtcp(rtcp.write_pli(1, receiver.endpoint.video_slots[0].ssrc))
    assert len(sender.asked(rtcp.Pli)) == 1


def test_malformed_compounds_are_counted(call, pair) -> None:
    sender, _ = pair
    sender.send_rtcp(rtcp.write_receiver_report(1) + b"\x81\xc9\x00\x09" + bytes(4))
    sender.send_rtcp(struct.pack("!BBHI", 0x9F, 200, 1, 5))
    assert call.dropped(Drop.RTCP_MALFORMED) == 2


def test_rtcp_from_endless_ssrcs_is_bounded(call, pair) -> None:
    sender, _ = pair
    for ssrc in range(100):
        sender.send_rtcp(rtcp.write_receiver_report(ssrc))
    assert call.dropped(Drop.RTP_UNKNOWN_SOURCE) == 84


def test_many_slots_are_reported_in_several_datagrams(call) -> None:
    sender = call.join()
    receiver = call.join()
    call.connect_all()
    endpoint = receiver.endpoint
    source_slot = endpoint.video_slots[0]
    many = [
        type(source_slot)(endpoint, source_slot.kind, str(i), 0x8000 + i, "L" * 36, 0, 0) for i in range(30)
    ]
    endpoint.slots.update({slot.ssrc: slot for slot in many})
    sender.video(HIGH, "h")
    for slot in many:
        slot.attach(sender.endpoint.layers["h"], call.now)
    call.advance(0.2)
    receiver.drain()
    assert len([p for p in receiver.rtcp if isinstance(p, rtcp.SenderReport)]) == 30
    assert max(len(raw) for raw in receiver.raw_rtcp) < 1200
