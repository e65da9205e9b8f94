"""RTX from senders (RFC 4588): what comes under other numbers is the packet that was missing."""

from __future__ import annotations

import struct

import pytest

from sft.model import Drop
from sft.webrtc import rtcp
from support.layers import HIGH, watch_layers

HIGH_RTX, LOW_RTX = 0x3333, 0x4444
REPAIRED_RID, TRANSPORT = 5, 3


@pytest.fixture
def watched(call):
    """A sender of two layers, and a receiver of the high one that misses packet 103."""
    sender, receiver = watch_layers(call)
    sender.video(HIGH, sequence=102)
    sender.video(HIGH, sequence=104)
    call.advance(0.02)
    assert [nack.lost for nack in sender.asked(rtcp.Nack)] == [(103,)]
    return sender, receiver


@pytest.fixture
def rtx(packet):
    def rtx(
        original: int,
        payload: bytes = b"repeated",
        *,
        number: int = 7,
        ssrc: int = HIGH_RTX,
        rid: str = "h",
        **more,
    ):
        elements = ((REPAIRED_RID, rid.encode()),) if rid else ()
        elements += more.pop("elements", ())
        return packet(
            ssrc,
            number,
            4711,
            payload_type=0x80 | 101,  # with the marker
            elements=elements,
            payload=struct.pack("!H", original) + payload,
            **more,
        )

    return rtx


def test_a_repeat_takes_its_place(watched, rtx) -> None:
    sender, receiver = watched
    first, second = receiver.drain()
    sender.send(rtx(103))
    (repaired,) = receiver.drain()
    assert (repaired.payload, repaired.second) == (b"repeated", 0x80 | 100)
    assert repaired.sequence == first.sequence + 1 == second.sequence - 1
    assert repaired.ssrc == first.ssrc
    assert repaired.csrcs == first.csrcs
    assert sender.endpoint.layers["h"].gaps.repaired == 1


def test_a_repeat_belongs_to_the_layer_it_names_once(call, watched, rtx) -> None:
    sender, receiver = watched
    receiver.drain()
    sender.send(rtx(103, ssrc=LOW_RTX, rid="l"))
    assert receiver.drain() == []
    sender.send(rtx(103))
    sender.video(HIGH, sequence=106)
    call.advance(0.02)
    receiver.drain()
    sender.send(rtx(105, number=8, rid=""))
    assert [packet.payload for packet in receiver.drain()] == [b"repeated"]


def test_without_a_name_it_belongs_to_the_only_layer(call, rtx) -> None:
    sender, receiver = call.join(nack=True, video_ssrcs=(HIGH, HIGH_RTX)), call.join()
    call.connect_all()
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    sender.video(HIGH, key=True, sequence=102)
    sender.video(HIGH, sequence=104)
    call.advance(0.02)
    sender.send(rtx(103, rid=""))
    assert [packet.payload for packet in receiver.drain()] == [b"picture", b"picture", b"repeated"]


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"original": 102}, Drop.RTP_UNASKED),  # it came
        ({"original": 90}, Drop.RTP_UNASKED),  # from before its time
        ({"original": 110}, Drop.RTP_UNASKED),  # not sent yet
        ({"original": 103, "payload": b""}, Drop.RTP_PADDING),
        ({"original": 103, "rid": "x"}, Drop.RTP_UNKNOWN_SOURCE),
        ({"original": 103, "rid": ""}, Drop.RTP_UNKNOWN_SOURCE),  # whose of the two?
    ],
)
def test_what_nobody_waits_for_goes_no_further(call, watched, rtx, what, reason) -> None:
    sender, receiver = watched
    receiver.drain()
    before = call.dropped(reason)
    received = sender.endpoint.layers["h"].numbering.received
    sender.send(rtx(**what))
    assert receiver.drain() == []
    assert call.dropped(reason) == before + 1
    assert sender.endpoint.layers["h"].numbering.received == received


def test_the_sender_is_told_of_every_repeat_that_came(call, watched, rtx) -> None:
    sender, _ = watched
    for number, original in enumerate((102, 103)):
        sender.send(rtx(original, number=number, elements=((TRANSPORT, struct.pack("!H", number)),)))
    assert [number for number, _ in sender.endpoint.transport.pending] == [0, 1]


def test_no_sender_makes_us_remember_many_rtx_streams(call, watched, rtx) -> None:
    sender, _ = watched
    for ssrc in range(50):
        sender.send(rtx(103, ssrc=0x50000 + ssrc))
    assert call.dropped(Drop.RTP_UNKNOWN_SOURCE) >= 46
