"""From a protected datagram in to protected datagrams out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import LocalError
from sft.model import Drop

HIGH, LOW = 0x1111, 0x2222


def two(call):
    sender, receiver = call.join(), call.join()
    call.connect_all()
    return sender, receiver


@given(payload=st.binary(min_size=1, max_size=1100), level=st.integers(0, 100))
def test_the_payload_comes_out_byte_for_byte(make_call, payload: bytes, level: int) -> None:
    sender, receiver = two(make_call(2))
    sender.audio(level, payload=payload)
    (out,) = receiver.drain()
    assert out.payload == payload


def test_header_is_rewritten_and_the_rest_kept(call, packet) -> None:
    sender, receiver = two(call)
    elements = ((1, b"\x85"), (2, b"\x01\x02\x03"), (9, b"unknown"))
    plain = packet(
        sender.audio_ssrc, 7, 480, payload_type=0x80 | 111, elements=elements, payload=b"xyz", csrcs=(5, 6)
    )
    sender.send(plain)
    (out,) = receiver.drain()
    assert out.ssrc == receiver.endpoint.audio_slots[0].ssrc
    assert out.csrcs == [sender.audio_ssrc]
    assert out.second == 0x80 | 111
    assert out.after_csrcs == plain[20:]


def test_outgoing_sequence_numbers_start_below_half(make_call) -> None:
    for seed in range(20):
        sender, receiver = two(make_call(seed))
        sender.audio(sequence=65_535)
        (out,) = receiver.drain()
        assert out.sequence < 0x8000


def test_sequence_and_timestamp_go_on_across_wrap(call, packet) -> None:
    sender, receiver = two(call)
    for index in range(5):
        timestamp = 0xFFFFFF00 + 0x60 * index
        sender.send(packet(sender.audio_ssrc, 65_533 + index, timestamp, payload_type=111))
    out = receiver.drain()
    assert [p.sequence - out[0].sequence & 0xFFFF for p in out] == [0, 1, 2, 3, 4]
    assert [p.timestamp - out[0].timestamp & 0xFFFFFFFF for p in out] == [0x60 * i for i in range(5)]


def test_packets_of_padding_only_go_nowhere_and_leave_no_gap(call) -> None:
    sender, receiver = two(call)
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.video(HIGH, "h", key=True)
    for _ in range(9):
        sender.video(HIGH, payload=b"", padding=200)
    sender.video(HIGH)
    first, second = receiver.drain()
    assert second.sequence == first.sequence + 1
    assert call.dropped(Drop.RTP_PADDING) == 9


def test_padding_behind_a_payload_is_cut_off(call) -> None:
    sender, receiver = two(call)
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.video(HIGH, "h", key=True, payload=b"real", padding=7)
    (out,) = receiver.drain()
    assert out.payload == b"real"
    assert not out.padded


def test_lost_packet_leaves_one_gap_and_reordered_one_keeps_its_place(call) -> None:
    sender, receiver = two(call)
    for sequence in (100, 101, 104, 103, 105):
        sender.audio(sequence=sequence)
    out = receiver.drain()
    assert [p.sequence - out[0].sequence for p in out] == [0, 1, 4, 3, 5]


def test_late_packets_from_before_the_attachment_are_dropped_and_counted(call) -> None:
    first, second, receiver = call.join(), call.join(), call.join()
    call.connect_all()
    second.audio(127)
    for sequence in (200, 201, 202):
        second.audio(127, sequence=sequence)
    assert call.dropped(Drop.RTP_SILENT) >= 1
    for sequence in (210, 211, 212, 213):
        second.audio(0, sequence=sequence)
    seen = receiver.drain()
    second.audio(0, sequence=205)
    assert receiver.drain() == []
    assert call.dropped(Drop.RTP_LATE) == 1
    assert seen
    assert first.drain()


def test_srtp_from_another_address_is_taken_but_not_answered_there(call) -> None:
    from sft.forwarding.loop import receive

    sender, receiver = two(call)
    for client in (sender, receiver):
        client.audio(0)
    datagram = sender.outgoing.protect(
        bytes.fromhex("806f1000") + bytes(4) + sender.audio_ssrc.to_bytes(4, "big") + b"x"
    )
    receive(sender.endpoint, sender.wire, datagram, ("203.0.113.9", 9), call.now)
    receiver.audio(0)
    call.advance(2.0)
    assert {address for _, address in sender.wire.datagrams} == {("192.0.2.1", 5000)}
    assert len(receiver.drain()) == 2


@pytest.mark.parametrize(
    "datagram", [b"\x80", b"\x80\x64", b"\x80\xc8", b"\x90" * 40, b"\x80\xc9" + bytes(30)]
)
def test_forged_and_short_datagrams_are_counted_not_raised(call, datagram: bytes) -> None:
    sender, _ = two(call)
    sender.deliver(datagram)
    assert sum(call.drops.counts.values()) == 1


def test_empty_replayed_early_and_oversized_datagrams_are_counted(call, packet) -> None:
    sender, _ = two(call)
    sender.deliver(b"")
    assert call.dropped(Drop.EMPTY) == 1
    datagram = sender.outgoing.protect(packet(sender.audio_ssrc, 5))
    sender.deliver(datagram)
    sender.deliver(datagram)
    assert call.dropped(Drop.SRTP_REPLAY) == 1
    sender.deliver(datagram[:-1] + bytes((datagram[-1] ^ 1,)))
    assert call.dropped(Drop.SRTP_AUTH) + call.dropped(Drop.SRTP_REPLAY) == 2
    sender.deliver(b"\x80\x64" + bytes(1600))
    sender.deliver(b"\x80\xc8" + bytes(1600))
    assert call.dropped(Drop.TOO_LARGE) == 2
    early = call.join(open_now=False)
    early.deliver(datagram)
    assert call.dropped(Drop.SRTP_TOO_EARLY) == 1


def test_what_is_not_media_goes_to_control_as_it_came(call) -> None:
    sender, _ = two(call)
    seen = []
    sender.endpoint.control = lambda base, data, address, now: seen.append((base, data, address, now))
    for data in (b"\x16dtls", b"\x00\x01stun", b"\xc0other"):
        sender.deliver(data)
    assert seen == [
        (sender.wire, data, ("192.0.2.1", 5000), call.now)
        for data in (b"\x16dtls", b"\x00\x01stun", b"\xc0other")
    ]


def test_unknown_sources_are_dropped_and_leave_no_state(call, packet) -> None:
    sender, receiver = two(call)
    for ssrc in range(0x9000, 0x9100):
        sender.send(packet(ssrc, 1, payload_type=96))
    assert call.dropped(Drop.RTP_UNKNOWN_SOURCE) == 256
    assert sender.endpoint.sources == {}
    assert receiver.drain() == []


def test_video_layers_are_learned_by_rid_or_by_the_answer(call) -> None:
    chrome, named, plain = call.join(), call.join(video_ssrcs=(HIGH,)), call.join()
    call.connect_all()
    chrome.video(LOW, "l")
    chrome.video(HIGH, "h")
    chrome.video(HIGH)
    chrome.video(0x3333)  # no RID while layers are known: nobody's
    named.video(HIGH)
    plain.video(LOW)
    assert {layer: s.ssrc for layer, s in chrome.endpoint.layers.items()} == {"l": LOW, "h": HIGH}
    assert {layer: s.ssrc for layer, s in named.endpoint.layers.items()} == {"": HIGH}
    assert {layer: s.ssrc for layer, s in plain.endpoint.layers.items()} == {"": LOW}
    assert call.dropped(Drop.RTP_UNKNOWN_SOURCE) == 1


def test_a_new_ssrc_for_a_rid_replaces_the_old_for_good(call) -> None:
    sender, receiver = two(call)
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.video(HIGH, "h", key=True)
    sender.video(LOW, "h", key=True)
    sender.video(HIGH, "h", key=True)
    assert sender.endpoint.layers["h"].ssrc == LOW
    first, second = receiver.drain()
    assert second.sequence == first.sequence + 1
    for number in range(100):
        sender.video(0x7000 + number, "h", key=True)
    assert len(sender.endpoint.sources) == 1


def test_the_far_side_of_a_closed_endpoint_gets_nothing_and_nothing_breaks(call) -> None:
    sender, receiver = two(call)
    sender.audio(0)
    receiver.drain()
    receiver.endpoint.close()
    sender.audio(0)
    call.table.remove(receiver.endpoint, call.now)
    sender.audio(0)
    receiver.endpoint.close()
    call.table.remove(receiver.endpoint, call.now)
    assert receiver.drain() == []
    assert call.dropped(Drop.SEND_FAILED) == 1


def test_a_blocked_or_failing_socket_is_counted_and_others_still_get_theirs(call) -> None:
    sender, blocked, failing, fine = (call.join() for _ in range(4))
    call.connect_all()

    def raises(error):
        def send(data, address):
            raise error

        return send

    for client, error in ((blocked, BlockingIOError()), (failing, OSError("unreachable"))):
        client.wire.send = raises(error)
        client.endpoint.set_path(client.wire, ("192.0.2.1", 5000))
    sender.audio(0)
    assert len(fine.drain()) == 1
    assert (call.dropped(Drop.SEND_BLOCKED), call.dropped(Drop.SEND_FAILED)) == (1, 1)


def test_opening_twice_is_our_own_fault(call) -> None:
    client = call.join()
    with pytest.raises(LocalError):
        client.endpoint.open(client.keys, call.now)


def test_a_receiver_that_opens_late_joins_what_is_flowing(call) -> None:
    sender, receiver = call.join(), call.join(open_now=False)
    call.connect_all()
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.audio(0)
    sender.video(HIGH, "h", key=True)
    receiver.endpoint.open(receiver.keys, call.now)
    sender.audio(0)
    sender.video(HIGH, key=True)
    assert receiver.heard() == {sender.audio_ssrc, sender.endpoint.ssrc_video}


def test_leaving_and_coming_back_leaks_no_slots(call) -> None:
    sender, receiver = two(call)
    for _ in range(20):
        guest = call.join()
        call.connect_all()
        guest.audio(0)
        sender.audio(0)
        call.table.remove(guest.endpoint, call.now)
        guest.endpoint.close()
        call.clients.remove(guest)
    assert set(call.table.endpoints) == {sender.endpoint, receiver.endpoint}
    assert [slot.source for slot in receiver.endpoint.audio_slots] == [sender.audio_source(), *[None] * 4]
    assert sender.audio_source().lacking == set()
    assert receiver.endpoint.audio_receivers == {sender.endpoint}
