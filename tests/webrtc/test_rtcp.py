"""Reading compounds of others and writing our own."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import BadPacket
from sft.model import Drop
from sft.webrtc import rtcp

u32 = st.integers(0, 0xFFFFFFFF)
blocks = st.lists(
    st.builds(
        rtcp.ReportBlock, u32, st.integers(0, 255), st.integers(-0x800000, 0x7FFFFF), u32, u32, u32, u32
    ),
    max_size=31,
)


@given(u32, blocks)
def test_receiver_reports_survive_the_round_trip(ssrc: int, reports: list[rtcp.ReportBlock]) -> None:
    data = rtcp.write_receiver_report(ssrc, reports)
    assert rtcp.parse_compound_untrusted(data) == [rtcp.ReceiverReport(ssrc, tuple(reports))]


@given(u32, st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**40))
def test_sender_reports_survive_the_round_trip(
    ssrc: int, ntp: int, stamp: int, packets: int, octets: int
) -> None:
    (report,) = rtcp.parse_compound_untrusted(rtcp.write_sender_report(ssrc, ntp, stamp, packets, octets))
    low = 0xFFFFFFFF
    assert report == rtcp.SenderReport(ssrc, ntp, stamp & low, packets & low, octets & low, ())


@given(st.lists(st.tuples(u32, st.text(max_size=60)), max_size=31))
def test_cnames_survive_the_round_trip(cnames: list[tuple[int, str]]) -> None:
    (sdes,) = rtcp.parse_compound_untrusted(
        rtcp.write_description([rtcp.cname_chunk(*one) for one in cnames])
    )
    assert sdes == rtcp.SourceDescription(tuple(cnames))


@given(u32, u32, st.sets(st.integers(100_000, 100_300), min_size=1, max_size=100))
def test_nacks_survive_the_round_trip(ssrc: int, media: int, lost: set[int]) -> None:
    (nack,) = rtcp.parse_compound_untrusted(rtcp.write_nack(ssrc, media, sorted(lost)))
    assert nack == rtcp.Nack(ssrc, media, tuple(number & 0xFFFF for number in sorted(lost)))


def test_nacks_share_words_across_the_wrap() -> None:
    data = rtcp.write_nack(1, 2, [65_534, 65_535, 65_536, 65_550])
    assert data == struct.pack("!BBHIIHH", 0x81, 205, 3, 1, 2, 65_534, 0x8003)


def test_keyframe_requests() -> None:
    assert rtcp.write_pli(1, 2) == bytes.fromhex("81ce00020000000100000002")
    assert rtcp.write_fir(1, 2, 0x103) == bytes.fromhex("84ce000400000001000000000000000203000000")
    both = rtcp.parse_compound_untrusted(rtcp.write_pli(1, 2) + rtcp.write_fir(1, 2, 3))
    assert both == [rtcp.Pli(1, 2), rtcp.Fir(1, ((2, 3),))]


def test_all_packets_of_a_compound_are_read_and_unknown_ones_left_out() -> None:
    unknown = bytes.fromhex("80cf00020000000100000000")  # extended report, RFC 3611
    goodbye = bytes.fromhex("82cb0003000000070000000803657865")
    remb = bytes.fromhex("8fce00050000000100000000") + b"REMB" + bytes.fromhex("0114000100000009")
    transport = bytes.fromhex("8fcd00050000000100000002000100010000000020010000")
    data = rtcp.write_receiver_report(1) + unknown + goodbye + remb + transport + rtcp.write_pli(1, 2)
    assert rtcp.parse_compound_untrusted(data) == [
        rtcp.ReceiverReport(1, ()),
        rtcp.Bye((7, 8)),
        rtcp.Remb(1, 1 << 5, (9,)),
        rtcp.TransportFeedback(1, 2),
        rtcp.Pli(1, 2),
    ]


def test_padding_is_not_content() -> None:
    padded = bytes.fromhex("a1cd000400000001000000020005000000000004")
    assert rtcp.parse_compound_untrusted(padded) == [rtcp.Nack(1, 2, (5,))]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\xc8",
        bytes.fromhex("00c9000100000001"),
        bytes.fromhex("80c9000200000001"),
        bytes.fromhex("81c9000100000001"),
        bytes.fromhex("80c8000100000001"),
        bytes.fromhex("a0c9000100000009"),
        bytes.fromhex("a0c9000100000000"),
        bytes.fromhex("81ca00020000000101ff4142"),
        bytes.fromhex("82cb000100000001"),
        bytes.fromhex("81cd000100000001"),
        rtcp.write_pli(1, 2) + b"\x81",
    ],
)
def test_malformed_compounds_are_refused_as_a_whole(data: bytes) -> None:
    with pytest.raises(BadPacket) as caught:
        rtcp.parse_compound_untrusted(data)
    assert caught.value.reason is Drop.RTCP_MALFORMED


@given(st.binary(max_size=200))
def test_any_bytes_give_packets_or_bad_packet(data: bytes) -> None:
    for prefix in (b"", rtcp.write_pli(1, 2), b"\x81\xca\x00\x08", b"\x8f\xce\x00\x08"):
        try:
            rtcp.parse_compound_untrusted(prefix + data)
        except BadPacket:
            pass


@given(st.floats(0, 4e9))
def test_wall_time_survives_ntp(seconds: float) -> None:
    if seconds + rtcp.NTP_EPOCH < 2**32:
        assert rtcp.unix_from_ntp(rtcp.ntp_from_unix(seconds)) == pytest.approx(seconds, abs=1e-6)
