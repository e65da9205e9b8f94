"""Packet-path rule 7 against an oracle that knows the whole story of a source."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sft.forwarding.rewrite import LATE, MAX_DROPOUT, WINDOW, Numbering


class Oracle:
    """Remembers everything: a number is the packet's place minus the in-order drops before it."""

    def __init__(self, first: int) -> None:
        self.highest = first - 1
        self.base = first
        self.dropped: list[int] = []

    def take(self, place: int, forwarded: bool) -> int | None:
        newest = place > self.highest
        self.highest = max(self.highest, place)
        if not forwarded:
            if newest:
                self.dropped.append(place)
            return None
        if not newest and (self.highest - place >= WINDOW or place < self.base):
            return LATE
        return place - sum(1 for other in self.dropped if other < place)


@st.composite
def arrivals(draw: st.DrawFn) -> list[tuple[int, bool]]:
    """(extended sequence number, is forwarded) in order of arrival: losses, reordering, drops, wraps."""
    first = draw(st.sampled_from([0, 1, 40_000, 65_000, 65_535]))
    count = draw(st.integers(1, 120))
    place = first
    packets = []
    for _ in range(count):
        packets.append((place, draw(st.booleans())))
        place += 1 + draw(st.sampled_from([0, 0, 0, 0, 1, 2, 40]))  # steps stay below a restart
    order = sorted(range(count), key=lambda index: index + draw(st.sampled_from([0, 0, 0, 1.5, 5.5, 40.5])))
    return [packets[index] for index in order]


@given(arrivals())
def test_any_pattern_of_loss_reordering_and_drops_gives_the_oracles_numbers(
    story: list[tuple[int, bool]],
) -> None:
    first = story[0][0]
    numbering, oracle = Numbering(first & 0xFFFF), Oracle(first)
    lift = first - (first & 0xFFFF)
    for place, forwarded in story:
        expected = oracle.take(place, forwarded)
        if not forwarded:
            numbering.drop(place & 0xFFFF)
            continue
        number = numbering.place(place & 0xFFFF)
        assert number == (expected if expected == LATE or expected is None else expected - lift)


@given(arrivals())
def test_no_two_packets_of_a_source_get_the_same_number(story: list[tuple[int, bool]]) -> None:
    numbering = Numbering(story[0][0] & 0xFFFF)
    numbers = []
    for place, forwarded in story:
        if forwarded:
            numbers.append(numbering.place(place & 0xFFFF))
        else:
            numbering.drop(place & 0xFFFF)
    taken = [number for number in numbers if number != LATE]
    assert len(taken) == len(set(taken))


def test_a_long_stream_of_mostly_padding_stays_bounded_and_continuous() -> None:
    numbering = Numbering(65_000)
    previous = None
    for place in range(65_000, 165_000):
        if place % 10:
            numbering.drop(place & 0xFFFF)
            continue
        number = numbering.place(place & 0xFFFF)
        assert previous is None or number == previous + 1
        previous = number
    assert len(numbering._dropped) <= 2 * WINDOW


def test_late_padding_leaves_the_gap_that_is_already_out() -> None:
    numbering = Numbering(10)
    assert [numbering.place(10), numbering.place(12)] == [10, 12]
    numbering.drop(11)
    assert numbering.place(13) == 13


def test_padding_behind_a_gap_closes_only_its_own_place() -> None:
    numbering = Numbering(10)
    numbering.place(10)
    numbering.drop(13)
    assert numbering.place(14) == 13
    assert [numbering.place(12), numbering.place(11)] == [12, 11]


def test_a_restart_of_the_sender_leaves_a_gap_of_one() -> None:
    numbering = Numbering(10)
    before = numbering.place(10)
    assert numbering.place(10 + MAX_DROPOUT + 1) == before + 2
    assert numbering.place(10 + MAX_DROPOUT + 2) == before + 3
    assert numbering.place(10 + MAX_DROPOUT) == LATE
    assert (numbering.base, numbering.received) == (10 + MAX_DROPOUT + 1, 3)


def test_what_is_older_than_the_window_is_late() -> None:
    numbering = Numbering(0)
    numbering.place(0)
    for place in range(2, WINDOW + 2):
        numbering.place(place)
    assert numbering.place(1) == LATE
    assert numbering.place(2) == 2
