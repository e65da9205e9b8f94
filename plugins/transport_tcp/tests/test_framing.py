"""Datagrams on a stream (RFC 4571)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import BadPacket
from sft.model import Drop
from sft_transport_tcp.framing import MAX_FRAME, FrameReader, to_frame

datagrams = st.lists(st.binary(min_size=1, max_size=300), max_size=20)


@given(datagrams, st.data())
def test_what_is_framed_comes_back_however_the_stream_is_cut(sent: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(to_frame, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    reader, received = FrameReader(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += reader.feed_untrusted(stream[begin:end])
    assert received == sent
    assert not reader.partial


@given(st.lists(st.binary(max_size=200), max_size=30))
def test_any_bytes_give_datagrams_or_bad_packet_and_little_is_kept(pieces: list[bytes]) -> None:
    reader = FrameReader()
    for piece in pieces:
        try:
            frames = reader.feed_untrusted(piece)
        except BadPacket:
            return
        assert all(0 < len(frame) <= MAX_FRAME for frame in frames)
        assert len(reader._rest) < 2 + MAX_FRAME


def test_an_empty_frame_is_nothing() -> None:
    assert FrameReader().feed_untrusted(b"\0\0" + to_frame(b"x") + b"\0\0") == [b"x"]


def test_a_frame_that_has_begun_is_known() -> None:
    reader = FrameReader()
    assert reader.feed_untrusted(b"\0") == []
    assert reader.partial
    assert reader.feed_untrusted(b"\2a") == []
    assert reader.feed_untrusted(b"b") == [b"ab"]
    assert not reader.partial


def test_the_largest_frame_passes_and_the_next_larger_one_is_refused_by_its_length_alone() -> None:
    reader = FrameReader()
    assert reader.feed_untrusted(to_frame(bytes(MAX_FRAME))) == [bytes(MAX_FRAME)]
    with pytest.raises(BadPacket) as caught:
        reader.feed_untrusted((MAX_FRAME + 1).to_bytes(2, "big"))
    assert caught.value.reason is Drop.TOO_LARGE
