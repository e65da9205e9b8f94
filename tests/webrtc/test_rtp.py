"""Reading the RTP header and its extensions."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import BadPacket
from sft.model import Drop
from sft.webrtc.rtp import (
    INSIDE,
    KEYFRAME_START,
    NO_DESCRIPTOR,
    read_extensions_untrusted,
    set_send_time,
    strip_padding_untrusted,
    write_padding,
)


def packet(profile: int | None, block: bytes = b"", *, csrcs: int = 0, payload: bytes = b"p") -> bytes:
    first = 0x80 | csrcs | (0x10 if profile is not None else 0)
    header = struct.pack("!BBHII", first, 100, 1, 2, 3) + bytes(4 * csrcs)
    if profile is not None:
        block += bytes(-len(block) % 4)
        header += struct.pack("!HH", profile, len(block) // 4) + block
    return header + payload


def read(data: bytes) -> tuple[int, int, int, int, int]:
    """With the transport-wide sequence number in place of its offset."""
    payload, level, transport, rid, frame, _ = read_extensions_untrusted(data, data[0])
    number = -1 if transport < 0 else int.from_bytes(data[transport : transport + 2], "big")
    return payload, level, number, rid, frame


def elements(data: bytes) -> list[tuple[int, bytes]]:
    """The extension elements of a packet, read by other means than the code under test."""
    start = 12 + 4 * (data[0] & 15)
    one_byte = data[start : start + 2] == b"\xbe\xde"
    block = data[start + 4 : start + 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")]
    found = []
    while block:
        if not block[0]:
            block = block[1:]
            continue
        ident, length, head = (block[0] >> 4, (block[0] & 15) + 1, 1) if one_byte else (block[0], block[1], 2)
        found.append((ident, block[head : head + length]))
        block = block[head + length :]
    return found


def pack(items: list[tuple[int, bytes]], *, one_byte: bool) -> bytes:
    heads = ((bytes((i << 4 | len(v) - 1,)) if one_byte else bytes((i, len(v)))) + v for i, v in items)
    return b"".join(heads)


def test_without_extensions_the_payload_follows_the_csrcs() -> None:
    assert read(packet(None, csrcs=2)) == (20, -1, -1, -1, NO_DESCRIPTOR)


def test_what_chrome_sends_at_the_start_of_a_layer() -> None:
    block = bytes.fromhex("2200010231abcd4068b7b001090002800168")
    assert read(packet(0xBEDE, block)) == (36, -1, 0xABCD, ord("h"), KEYFRAME_START)


def test_the_audio_level_is_without_the_voice_bit() -> None:
    assert read(packet(0xBEDE, b"\x10\x8c"))[1] == 12


def test_two_byte_elements_and_empty_ones() -> None:
    block = b"\x01\x01\x85" + b"\x03\x02\x00\x07" + b"\x04\x00" + b"\x0b\x01\x08"
    assert read(packet(0x1000, block)) == (28, 5, 7, 0, INSIDE)


@pytest.mark.parametrize(("profile", "block"), [(0xBEDE, b"\x00\x00\x10\x05"), (0x100F, b"\x00\x01\x01\x05")])
def test_padding_bytes_between_elements_are_skipped(profile: int, block: bytes) -> None:
    assert read(packet(profile, block))[1] == 5


@pytest.mark.parametrize("stop", [b"\xf0\x00", b"\x02\x00\x00\x00"])
def test_reserved_ids_end_the_one_byte_form(stop: bytes) -> None:
    assert read(packet(0xBEDE, b"\x10\x05" + stop + b"\x31\x00\x09"))[1:3] == (5, -1)


def test_an_unknown_profile_is_skipped_as_a_whole() -> None:
    assert read(packet(0x1234, b"\x10\x05\x00\x00")) == (20, -1, -1, -1, NO_DESCRIPTOR)


@pytest.mark.parametrize(
    ("element", "frame"),
    [
        (b"\xb0\x80", KEYFRAME_START),
        (b"\xb0\x90", KEYFRAME_START),
        (b"\xb0\x88", INSIDE),
        (b"\xb0\x70", INSIDE),
        (b"\x63\x80\x00\x01\x80", KEYFRAME_START),
        (b"\x63\x00\x00\x01\x80", INSIDE),
        (b"\x62\x80\x00\x01", INSIDE),
    ],
)
def test_keyframes_show_in_both_descriptors(element: bytes, frame: int) -> None:
    assert read(packet(0xBEDE, element))[4] == frame


def test_a_rid_longer_than_ours_is_none_of_ours() -> None:
    assert read(packet(0xBEDE, b"\x41hi"))[3] == 0


@pytest.mark.parametrize(
    "data",
    [
        packet(None, csrcs=5)[:20],
        packet(0xBEDE)[:14],
        packet(0xBEDE, b"\x10\x05\x00\x00")[:18],
        packet(0xBEDE, b"\x00\x00\x37\x05"),
        packet(0x1000, b"\x01\x01\x05\x03"),
        packet(0x1000, b"\x01\x09\x05\x03"),
    ],
)
def test_what_does_not_fit_is_malformed(data: bytes) -> None:
    with pytest.raises(BadPacket) as caught:
        read(data)
    assert caught.value.reason is Drop.RTP_MALFORMED


def test_padding_is_cut_off_and_its_bit_cleared() -> None:
    data = b"\xb0" + packet(None, payload=b"payload")[1:] + b"\x00\x00\x03"
    assert strip_padding_untrusted(data, 12) == b"\x90" + packet(None, payload=b"payload")[1:]


@pytest.mark.parametrize("count", [0, 9, 255])
def test_impossible_padding_is_malformed(count: int) -> None:
    with pytest.raises(BadPacket):
        strip_padding_untrusted(b"\xa0" + bytes(11) + bytes(7) + bytes((count,)), 12)


@given(st.binary(min_size=12, max_size=120))
def test_any_bytes_give_an_answer_or_bad_packet(data: bytes) -> None:
    try:
        payload, level, transport, rid, frame = read(data)
    except BadPacket:
        return
    assert 12 <= payload <= len(data)
    assert -1 <= level <= 127
    assert -1 <= transport <= 0xFFFF
    assert -1 <= rid <= 255
    assert frame in (NO_DESCRIPTOR, INSIDE, KEYFRAME_START)


@given(
    st.booleans(),
    st.permutations(
        [(1, b"\x85"), (2, b"old"), (3, b"\x12\x34"), (4, b"h"), (11, b"\xb0\x01\x00\x02\x80\x01\x68")]
    ),
    st.integers(0, 5),
    st.integers(0, 15),
    st.floats(0, 1e9),
)
def test_the_send_time_becomes_ours_and_the_transport_wide_number_goes(
    one_byte: bool, items: list[tuple[int, bytes]], count: int, csrcs: int, now: float
) -> None:
    items = items[:count]
    before = packet(0xBEDE if one_byte else 0x1000, pack(items, one_byte=one_byte), csrcs=csrcs)
    payload, _, transport, _, _, sent = read_extensions_untrusted(before, before[0])
    after = set_send_time(before, before[0], transport, sent, now)
    ticks = (int(now * 262144) % (1 << 24)).to_bytes(3, "big")
    expected = [item for item in items if item[0] not in (2, 3)]
    assert sorted(elements(after)) == sorted([*expected, (2, ticks)])
    assert after[: 12 + 4 * csrcs] == before[: 12 + 4 * csrcs]
    assert after[read(after)[0] :] == before[payload:]


def test_a_packet_without_extensions_or_with_others_is_not_touched() -> None:
    for data in (packet(None), packet(0x1234, b"abcd")):
        assert set_send_time(data, data[0], -1, -1, 5.0) is data


def test_padding_is_a_packet_of_nothing_else_that_tells_its_time() -> None:
    data = write_padding(100, 65535, 7, 2.0)
    payload, *_, sent = read_extensions_untrusted(data, data[0])
    assert data[sent : sent + 3] == (2 << 18).to_bytes(3, "big")
    assert len(data) - payload == 255
    assert strip_padding_untrusted(data, payload)[payload:] == b""


@given(st.binary(min_size=12, max_size=120))
def test_whatever_can_be_read_can_be_given_a_send_time(data: bytes) -> None:
    try:
        payload, _, transport, _, _, sent = read_extensions_untrusted(data, data[0])
    except BadPacket:
        return
    after = set_send_time(data, data[0], transport, sent, 1.0)
    assert after[read_extensions_untrusted(after, after[0])[0] :] == data[payload:]
