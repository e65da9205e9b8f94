"""Talk spurts and pages of tiles; hours of them, without waiting."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from sft_load.conversation import Conversation, tiles


@given(st.integers(0, 1000), st.integers(1, 8), st.integers(1, 20))
def test_as_many_speak_as_shall_or_as_there_are(seed: int, speakers: int, seats: int) -> None:
    conversation = Conversation(seed, speakers, 4.0)
    for second in range(60):
        speaking = conversation.advance(second, seats)
        assert len(speaking) == min(speakers, seats)
        assert all(0 <= seat < seats for seat in speaking)


def test_who_looks_rarely_hears_the_same_conversation() -> None:
    often, rarely = Conversation(5, 3, 4.0), Conversation(5, 3, 4.0)
    for tenth in range(3000):
        now = often.advance(tenth / 10, 12)
    assert rarely.advance(299.9, 12) == now


def test_nothing_changes_before_it_says_so() -> None:
    conversation = Conversation(5, 3, 4.0)
    for _ in range(100):
        before = conversation.advance(conversation.next_change, 12)
        assert conversation.advance(conversation.next_change - 1e-6, 12) == before
    assert Conversation(5, 0, 4.0).next_change == float("inf")


def test_in_an_hour_everybody_has_spoken_about_as_much() -> None:
    conversation, spoken = Conversation(1, 3, 4.0), Counter[int]()
    for second in range(3600):
        spoken.update(conversation.advance(second, 10))
    assert sorted(spoken) == list(range(10))
    assert max(spoken.values()) < 2 * min(spoken.values())


def test_who_has_left_speaks_no_more() -> None:
    conversation = Conversation(3, 4, 4.0)
    conversation.advance(100.0, 20)
    assert conversation.advance(100.0, 5) <= set(range(5))


def test_everybody_looks_at_those_after_himself_and_is_looked_at_as_often() -> None:
    roster = [f"user {number}" for number in range(50)]
    seen = Counter(user for me in roster for user in tiles(roster, me, 0, 9))
    assert set(seen.values()) == {9}
    assert tiles(roster, "user 48", 0, 3) == ["user 49", "user 0", "user 1"]


@given(st.integers(2, 40), st.integers(1, 9), st.integers(0, 50))
def test_a_page_shows_as_many_others_as_fit_each_once(participants: int, count: int, page: int) -> None:
    roster = [str(number) for number in range(participants)]
    shown = tiles(roster, "1", page, count)
    assert len(shown) == len(set(shown)) == min(count, participants - 1)
    assert "1" not in shown


def test_pages_follow_each_other() -> None:
    roster = [str(number) for number in range(7)]
    shown = ["".join(tiles(roster, "0", page, 3)) for page in range(3)]
    assert shown == ["123", "456", "123"]


def test_who_is_not_in_the_list_yet_looks_at_nobody() -> None:
    assert tiles(["a", "b"], "c", 0, 9) == []
