"""Media between aiortc clients through the real server: what arrives, where, and under which name."""

from __future__ import annotations

from typing import Any

import pytest

from support.clients import AiortcClient, ClientPool, meet, settle
from support.rtcp import RR, SR, TRANSPORT_CC, TRANSPORT_FEEDBACK, nack, pli, sender_report
from support.rtp import RtpPacket, audio, by_slot, interleave, padding_only, steps, video
from support.server import Server
from support.wire import new_id


def call_of(server: Server, clients: ClientPool, count: int, **options: Any) -> list[AiortcClient]:
    """A call of ``count`` clients that all trust each other."""
    call = new_id()
    everybody = [clients.make() for _ in range(count)]
    for client in everybody:
        client.join(server.url, call, **options)
    meet(*everybody)
    return everybody


VIDEO = 100
SEND_TIME, TRANSPORT_SEQUENCE = BANDWIDTH = (2, 3)
"""Extensions of video that receivers estimate their bandwidth by: the server's own, not the sender's."""


def unchanged(packet: RtpPacket) -> tuple[object, ...]:
    """What the server may not touch."""
    extensions = packet.extensions
    if packet.payload_type & 0x7F == VIDEO:
        extensions = {ident: value for ident, value in extensions.items() if ident not in BANDWIDTH}
    return packet.payload, packet.payload_type, packet.marker, extensions


def test_audio_arrives_byte_for_byte_under_the_name_of_its_sender(
    server: Server, clients: ClientPool
) -> None:
    ann, bob = call_of(server, clients, 2)
    sent = {client: audio(client.ssrcs["audio"], 100) for client in (ann, bob)}
    for sending in [client.start_sending(packets, 200) for client, packets in sent.items()]:
        sending.result(10)
    settle(ann, bob)
    for sender, receiver in ((ann, bob), (bob, ann)):
        got = receiver.packets
        assert [unchanged(packet) for packet in got] == [unchanged(packet) for packet in sent[sender]]
        name = int(receiver.entry(sender)["ssrc_audio"])
        assert {packet.csrc for packet in got} == {(name,)} == {(sender.ssrcs["audio"],)}
        assert set(steps([packet.sequence for packet in got])) == {1}
        assert set(steps([packet.timestamp for packet in got], 2**32)) == {960}
        assert {packet.ssrc for packet in got} <= set(receiver.slot_ssrcs("audio"))


def test_three_hear_each_other_each_voice_in_a_slot_of_its_own(server: Server, clients: ClientPool) -> None:
    everybody = call_of(server, clients, 3)
    sent = {client.ssrcs["audio"]: audio(client.ssrcs["audio"], 100) for client in everybody}
    sendings = [client.start_sending(sent[client.ssrcs["audio"]], 100) for client in everybody]
    for sending in sendings:
        sending.result(10)
    settle(*everybody)
    first = everybody[0]
    for receiver in everybody:
        slots = by_slot(receiver.packets)
        others = [client for client in everybody if client is not receiver]
        assert len(slots) == len(others)
        for ssrc, packets in slots.items():
            (name,) = {packet.csrc for packet in packets}
            assert [packet.payload for packet in packets] == [packet.payload for packet in sent[name[0]]]
            assert set(steps([packet.sequence for packet in packets])) == {1}
            if receiver is not first:  # the first has no first to keep its slot 0 for
                in_slot_0 = ssrc == receiver.slot_ssrcs("audio")[0]
                assert in_slot_0 is (name[0] == first.ssrcs["audio"])


def test_the_silent_are_not_forwarded_except_the_first_of_the_call(
    server: Server, clients: ClientPool
) -> None:
    ann, bob, eve = call_of(server, clients, 3)
    for client in (ann, bob):
        client.send(audio(client.ssrcs["audio"], 60, level=127))
    settle(ann, bob, eve)
    voices = [packet.csrc[0] for packet in eve.packets]
    assert voices.count(ann.ssrcs["audio"]) == 60
    assert voices.count(bob.ssrcs["audio"]) < 20  # until the smoothed level has sunk


def test_a_packet_lost_on_the_way_up_leaves_exactly_one_gap(server: Server, clients: ClientPool) -> None:
    ann, bob = call_of(server, clients, 2)
    packets = audio(ann.ssrcs["audio"], 50)
    del packets[20]
    ann.send(packets)
    settle(ann, bob)
    assert [packet.payload for packet in bob.packets] == [packet.payload for packet in packets]
    assert steps([packet.sequence for packet in bob.packets]) == [1] * 19 + [2] + [1] * 28


def test_a_reordered_packet_keeps_its_place(server: Server, clients: ClientPool) -> None:
    ann, bob = call_of(server, clients, 2)
    packets = audio(ann.ssrcs["audio"], 50)
    packets.insert(23, packets.pop(20))
    ann.send(packets)
    settle(ann, bob)
    in_order = sorted(bob.packets, key=lambda packet: packet.sequence)
    assert [packet.payload for packet in bob.packets] == [packet.payload for packet in packets]
    assert [packet.payload for packet in in_order] == [p.payload for p in audio(ann.ssrcs["audio"], 50)]
    assert set(steps([packet.sequence for packet in in_order])) == {1}


def test_padding_only_packets_leave_no_gap(server: Server, clients: ClientPool) -> None:
    ann, bob = call_of(server, clients, 2)
    bob.look((ann, 0))
    packets = video(ann.ssrcs["video"], 10)
    probes = [padding_only(packets[-1], packets[-1].sequence + offset) for offset in (1, 2, 3)]
    more = video(ann.ssrcs["video"], 10, sequence=packets[-1].sequence + 4, timestamp=200_000)
    ann.send([*packets, *probes, *more])
    settle(ann, bob)
    assert [packet.payload for packet in bob.packets] == [packet.payload for packet in packets + more]
    assert set(steps([packet.sequence for packet in bob.packets])) == {1}


def test_sequence_numbers_and_timestamps_wrap(server: Server, clients: ClientPool) -> None:
    ann, bob = call_of(server, clients, 2)
    packets = audio(ann.ssrcs["audio"], 100, sequence=2**16 - 50, timestamp=2**32 - 960 * 50)
    ann.send(packets)
    settle(ann, bob)
    assert [packet.payload for packet in bob.packets] == [packet.payload for packet in packets]
    assert set(steps([packet.sequence for packet in bob.packets])) == {1}
    assert set(steps([packet.timestamp for packet in bob.packets], 2**32)) == {960}


def test_video_comes_after_it_was_asked_for_and_into_the_slot_asked_for(
    server: Server, clients: ClientPool
) -> None:
    ann, bob, eve = call_of(server, clients, 3)
    ann.send(video(ann.ssrcs["video"], 5, sequence=1))
    settle(ann, eve)
    assert eve.packets == []
    eve.look((bob, 2), (ann, 1))
    sent = {client: video(client.ssrcs["video"], 20) for client in (ann, bob)}
    for client, packets in sent.items():
        client.send(packets)
    settle(ann, bob, eve)
    slots = by_slot(eve.packets)
    for slot, sender in zip(eve.slot_ssrcs("video"), (bob, ann), strict=False):
        got = slots.pop(slot)
        assert [unchanged(packet) for packet in got] == [unchanged(packet) for packet in sent[sender]]
        assert {packet.csrc for packet in got} == {(int(eve.entry(sender)["ssrc_video"]),)}
        assert set(steps([packet.sequence for packet in got])) == {1}
        assert all(len(packet.extensions[SEND_TIME]) == 3 for packet in got)
        assert not any(TRANSPORT_SEQUENCE in packet.extensions for packet in got)
    assert not slots


def test_the_layer_that_was_asked_for_comes_and_changes_at_a_keyframe(
    server: Server, clients: ClientPool
) -> None:
    ann, bob = call_of(server, clients, 2, toolver="10.3.7")
    layers = {
        rid: video(ann.ssrcs[rid], 40, rid=rid, keyframes=(0, 20), sequence=sequence)
        for rid, sequence in (("h", 100), ("l", 7000))
    }
    before = interleave(layers["h"][:45], layers["l"][:45])
    after = interleave(layers["l"][45:], layers["h"][45:])
    bob.look((ann, 2))
    ann.send(before)
    settle(ann, bob)
    bob.look((ann, 1))
    ann.send(after)
    settle(ann, bob)
    expected = [*layers["h"][:60], *layers["l"][60:]]  # frame 20 starts the keyframe of both
    assert [packet.payload for packet in bob.packets] == [packet.payload for packet in expected]
    assert set(steps([packet.sequence for packet in bob.packets])) == {1}
    assert {packet.csrc for packet in bob.packets} == {(int(bob.entry(ann)["ssrc_video"]),)}
    assert len(by_slot(bob.packets)) == 1


def test_who_asks_for_video_makes_its_sender_make_a_keyframe(server: Server, clients: ClientPool) -> None:
    ann, bob = call_of(server, clients, 2)
    ann.send(video(ann.ssrcs["video"], 5, keyframes=()))
    bob.look((ann, 0))
    ann.wait(lambda _: ann.keyframe_requests(ann.ssrcs["video"]))


def test_a_picture_loss_at_the_receiver_reaches_the_sender(server: Server, clients: ClientPool) -> None:
    ann, bob = call_of(server, clients, 2)
    bob.look((ann, 0))
    ann.send(video(ann.ssrcs["video"], 10))
    settle(ann, bob)
    ann.rtcp.clear()
    bob.send_rtcp(pli(bob.packets[-1].ssrc))
    ann.wait(lambda _: ann.keyframe_requests(ann.ssrcs["video"]))


def test_senders_get_reports_and_transport_feedback(server: Server, clients: ClientPool) -> None:
    ann, bob = call_of(server, clients, 2)
    bob.look((ann, 0))
    sending = ann.start_sending(video(ann.ssrcs["video"], 100), 300)
    ann.wait(lambda _: ann.has_rtcp(TRANSPORT_FEEDBACK, TRANSPORT_CC))
    ann.send_rtcp(sender_report(ann.ssrcs["video"]))
    ann.wait(lambda _: ann.has_rtcp(RR))
    bob.wait(lambda _: bob.has_rtcp(SR))
    sending.result(10)


def test_a_lost_video_packet_is_repeated_as_it_was(server: Server, clients: ClientPool) -> None:
    ann, bob = call_of(server, clients, 2)
    bob.look((ann, 0))
    packets = video(ann.ssrcs["video"], 20)
    bob.lose_rtp(every=7)
    ann.send(packets)
    settle(ann, bob)
    bob.lose_rtp(every=0)
    missing = missing_sequences(bob.packets)
    assert missing
    bob.send_rtcp(nack(bob.packets[-1].ssrc, missing))
    bob.ping()
    repaired = sorted(bob.packets, key=lambda packet: packet.sequence)
    assert [unchanged(packet) for packet in repaired] == [unchanged(p) for p in packets[: len(repaired)]]
    assert not missing_sequences(repaired)


@pytest.mark.parametrize("trusting", ["neither", "only the sender", "only the receiver"])
def test_without_mutual_trust_nothing_flows(server: Server, clients: ClientPool, trusting: str) -> None:
    call = new_id()
    ann, bob = clients.make(), clients.make()
    ann.join(server.url, call, approve=trusting == "only the sender")
    bob.join(server.url, call, approve=trusting == "only the receiver")
    for client in (ann, bob):
        client.wait(lambda one: len(one.users) == 2)
    bob.look((ann, 0))
    ann.send(audio(ann.ssrcs["audio"], 30) + video(ann.ssrcs["video"], 5))
    settle(ann, bob)
    assert bob.packets == []


def test_trust_opens_and_its_withdrawal_closes_the_way(server: Server, clients: ClientPool) -> None:
    call = new_id()
    ann, bob = clients.make(), clients.make()
    ann.join(server.url, call, approve=False)
    bob.join(server.url, call)
    ann.wait(lambda _: bob.user in ann.users)
    bob.wait(lambda _: ann.user in bob.approved)
    parts = [audio(ann.ssrcs["audio"], 10, sequence=100 * part) for part in (1, 2, 3)]
    for part, trusted in zip(parts, ([], [bob], []), strict=True):
        ann.approve(*trusted)
        ann.send(part)
        settle(ann, bob)
    assert [packet.payload for packet in bob.packets] == [packet.payload for packet in parts[1]]


def test_who_knows_the_sender_by_other_numbers_gets_nothing(server: Server, clients: ClientPool) -> None:
    ann, bob = call_of(server, clients, 2)
    bob.look((ann, 0))
    bob.approve(ann, ssrc_audio="1", ssrc_video="1")
    ann.send(audio(ann.ssrcs["audio"], 10) + video(ann.ssrcs["video"], 5))
    settle(ann, bob)
    assert bob.packets == []


def missing_sequences(packets: list[RtpPacket]) -> list[int]:
    """Of one slot, between the first and the last that came; no wrap."""
    numbers = {packet.sequence for packet in packets}
    return sorted(set(range(min(numbers), max(numbers))) - numbers)
