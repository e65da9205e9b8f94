"""What the clients send, read back by the server's own readers."""

from __future__ import annotations

import time

import pytest

from sft.forwarding.libsrtp import Inbound, pointer
from sft.model import SrtpParameters
from sft.webrtc.rtp import FIXED_HEADER, INSIDE, KEYFRAME_START, read_extensions_untrusted
from sft.webrtc.srtp import inbound_session, outbound_session
from sft_load.packets import LOUD, AudioSource, VideoSource, read_tag

KEYS = SrtpParameters("SRTP_AEAD_AES_128_GCM", bytes(28), bytes(28))
LABEL = 77


class Wire:
    """Both ends of an SRTP session."""

    def __init__(self) -> None:
        self._session = outbound_session(KEYS)
        self.srtp = pointer(self._session)
        self._inbound = Inbound(inbound_session(KEYS))

    def plain(self, encrypted: memoryview) -> bytes:
        return self._inbound.unprotect_untrusted(bytes(encrypted))


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_audio_says_how_loud_it_is(wire: Wire) -> None:
    source = AudioSource(9, size=100, ticks=1920)
    source.level = LOUD
    first, second = (wire.plain(source.protect(wire.srtp, LABEL)) for _ in range(2))
    assert len(first) == len(second) == 100
    level = read_extensions_untrusted(first, first[0])[1]
    assert level == LOUD
    before, after = FIXED_HEADER.unpack_from(first), FIXED_HEADER.unpack_from(second)
    assert before[4] == 9
    assert (after[2] - before[2], after[3] - before[3]) == (1, 1920)


def test_a_layer_names_itself_until_it_is_known(wire: Wire) -> None:
    source = VideoSource(9, 1000, 2, "l")
    rids = []
    for _ in range(2):
        packet = wire.plain(source.protect(wire.srtp, LABEL, 1))
        assert len(packet) == 1000
        rids.append(read_extensions_untrusted(packet, packet[0])[3])
        source.named = True
    assert rids == [ord("l"), -1]


def test_a_frame_begins_once_and_ends_with_the_marker(wire: Wire) -> None:
    source = VideoSource(9, 1000, 3, ticks=1500)
    packets = [wire.plain(source.protect(wire.srtp, LABEL, number)) for number in range(6)]
    assert [packet[1] >> 7 for packet in packets] == [0, 0, 1, 0, 0, 1]
    times = [FIXED_HEADER.unpack_from(packet)[3] for packet in packets]
    assert times == [0, 0, 0, 1500, 1500, 1500]
    offsets = [read_extensions_untrusted(packet, packet[0])[2] for packet in packets]
    numbers = [packet[at : at + 2] for packet, at in zip(packets, offsets, strict=True)]
    assert numbers == [number.to_bytes(2, "big") for number in range(6)]


def test_a_keyframe_is_sent_first_and_when_asked_for(wire: Wire) -> None:
    source = VideoSource(9, 1000, 1, "h")
    frames = []
    for number in range(4):
        source.keyframe = source.keyframe or number == 2
        packet = wire.plain(source.protect(wire.srtp, LABEL, number))
        frames.append(read_extensions_untrusted(packet, packet[0])[4])
    assert frames == [KEYFRAME_START, INSIDE, KEYFRAME_START, INSIDE]


@pytest.mark.parametrize("rid", ["", "l"])
def test_a_receiver_reads_the_tag_behind_the_servers_header(wire: Wire, rid: str) -> None:
    before = time.time()
    packet = wire.plain(VideoSource(9, 500, 1, rid).protect(wire.srtp, LABEL, 1))
    sent = bytes((packet[0] | 1,)) + packet[1:12] + LABEL.to_bytes(4, "big") + packet[12:]
    tag = read_tag(sent)
    assert tag is not None
    assert (tag.label, tag.csrc, tag.number, chr(tag.rid)) == (LABEL, LABEL, 1, rid or "-")
    assert before <= tag.sent_at <= time.time()
