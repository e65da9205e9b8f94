"""What is lost, late, hidden or wrong in a slot."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from sft_load.histogram import Histogram
from sft_load.packets import FILLER
from sft_load.streams import ASKED, CheckedStream, Stream

LABEL = 0xABCDEF01


def counted(*sequences: int) -> Stream:
    stream = Stream()
    for sequence in sequences:
        stream.count(sequence, LABEL)
    return stream


def outgoing(
    sequence: int, number: int, *, label: int = LABEL, csrc: int = LABEL, rid: bytes = b"l", sent: float = 0.0
) -> bytes:
    """A packet as the server sends it: the sender's, with another header and one CSRC."""
    header = struct.pack("!BBHIII", 0x91, 100, sequence, 0, 0x5107, csrc)
    extensions = struct.pack("!HHI", 0xBEDE, 1, 0)
    tag = struct.pack("!2sHIIcQ", b"ld", 21 + 80, label, number, rid, int(sent * 1e9))
    return header + extensions + tag + FILLER[:80]


def checked(*packets: tuple[bytes, float]) -> CheckedStream:
    stream = CheckedStream(Histogram())
    for packet, came in packets:
        stream.count(int.from_bytes(packet[2:4], "big"), LABEL)
        stream.check(packet, came)
    return stream


def test_every_gap_is_a_loss() -> None:
    assert counted(7, 8, 9).lost == 0
    assert counted(7, 9, 12).lost == 3


def test_numbers_wrap() -> None:
    assert counted(65534, 65535, 0, 1).lost == 0
    assert counted(65534, 1).lost == 2


def test_what_comes_late_is_not_lost_but_reordered() -> None:
    stream = counted(1, 4, 2, 3, 5)
    assert (stream.lost, stream.reordered) == (0, 2)


def test_what_comes_twice_is_no_late_packet() -> None:
    stream = counted(10, 11, 12, 12, 12, 16)
    assert (stream.lost, stream.reordered, stream.repeated) == (3, 0, 2)
    stream = counted(1, 4, 2, 2)
    assert (stream.lost, stream.reordered, stream.repeated) == (1, 1, 1)


def test_nobody_misses_what_the_first_packet_overtook() -> None:
    stream = counted(100, 99, 101)
    assert (stream.lost, stream.reordered, stream.repeated) == (0, 1, 0)


@given(st.integers(0, 65535), st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_whatever_the_order_what_does_not_come_is_lost(
    first: int, order: list[int], doubled: set[int]
) -> None:
    """Among neighbours that came before and after."""
    came = [number for number in order for _ in range(2 if number in doubled else 1) if number != 5]
    stream = counted(*(first + number & 0xFFFF for number in (-1, *came, 12)))
    assert (stream.lost, stream.repeated) == (1, len(doubled - {5}))


@given(st.integers(0, 65535), st.sets(st.integers(1, 2000), max_size=50))
def test_as_many_are_lost_as_do_not_come(first: int, lost: set[int]) -> None:
    came = [first + step & 0xFFFF for step in range(2002) if step not in lost]
    assert counted(*came).lost == len(lost)


def test_a_look_tells_whose_packets_came_since_the_one_before() -> None:
    stream = counted(5)
    assert [stream.look(), stream.look()] == [LABEL, 0]
    stream.count(6, 7)
    stream.count(7, 8)
    assert [stream.look(), stream.look()] == [7, 0]
    assert (stream.lost, stream.highest) == (0, 7)


def test_padding_does_not_tell_whose_it_is() -> None:
    stream = counted(5)
    stream.look()
    stream.count(6, 0)
    assert stream.due & ASKED  # the next one is asked too
    stream.count(7, 9)
    assert stream.due == 8
    assert stream.look() == 9


def test_latency_is_from_sending_to_arrival() -> None:
    stream = checked((outgoing(1, 1, sent=100.0), 100.020))
    assert 0.020 <= stream.latency.percentile(0.5) <= 0.021


def test_a_gap_that_the_server_closes_is_found_by_the_senders_numbers() -> None:
    stream = checked((outgoing(1, 10), 0.0), (outgoing(2, 12), 0.01))
    assert (stream.lost, stream.hidden, stream.wrong) == (0, 1, 0)


def test_a_gap_that_the_server_leaves_is_counted_once() -> None:
    stream = checked((outgoing(1, 10), 0.0), (outgoing(3, 12), 0.01))
    assert (stream.lost, stream.hidden, stream.wrong) == (1, 0, 0)


def test_after_a_pause_a_speaker_goes_on_where_he_is() -> None:
    stream = checked((outgoing(1, 10), 0.0), (outgoing(2, 90), 3.2), (outgoing(3, 91), 3.22))
    assert (stream.lost, stream.hidden, stream.wrong) == (0, 0, 0)


def test_another_source_or_layer_begins_anew() -> None:
    other = {"label": 5, "csrc": 5}
    stream = checked(
        (outgoing(1, 10), 0.0), (outgoing(2, 3, rid=b"h"), 0.01), (outgoing(3, 900, rid=b"l", **other), 0.02)
    )
    assert (stream.lost, stream.hidden, stream.wrong) == (0, 0, 0)


def test_padding_has_a_place_and_no_contents() -> None:
    padding = (struct.pack("!BBHII", 0xA0, 100, 2, 0, 0x5107) + bytes(19) + b"\x14", 0.01)
    stream = checked((outgoing(1, 10), 0.0), padding, (outgoing(3, 11), 0.02), (outgoing(4, 12), 0.03))
    assert (stream.lost, stream.hidden, stream.wrong) == (0, 0, 0)


def test_an_old_packet_under_a_new_number_is_wrong() -> None:
    assert checked((outgoing(1, 10), 0.0), (outgoing(2, 10), 0.01)).wrong == 1


def test_a_packet_under_anothers_name_is_wrong() -> None:
    assert checked((outgoing(1, 10, csrc=LABEL + 1), 0.0)).wrong == 1


def test_a_changed_payload_is_wrong() -> None:
    packet = bytearray(outgoing(1, 10))
    packet[-1] ^= 1
    assert checked((bytes(packet), 0.0)).wrong == 1


def test_a_payload_that_was_cut_short_is_wrong() -> None:
    assert checked((outgoing(1, 10)[:-70], 0.0)).wrong == 1


@given(st.binary(min_size=12, max_size=200).filter(lambda data: not data[0] & 0x20))
def test_anything_else_is_wrong(data: bytes) -> None:
    stream = CheckedStream(Histogram())
    stream.check(data, 0.0)
    assert stream.wrong == 1
