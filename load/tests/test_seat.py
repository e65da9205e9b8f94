"""What a participant misses: whom it should hear and see and does not, and whom it sees unasked."""

from __future__ import annotations

from types import SimpleNamespace

import attrs
import pytest

from sft.calls.timers import TimerHeap
from sft_load.figures import Figures
from sft_load.plan import Plan
from sft_load.reception import Reception
from sft_load.seat import Seat

CALL = "c"
VOICES = [900, 901, 902]
PLAN = Plan(speakers=3, tiles=9, per_call=10)


class World:
    """The seat of user 0 in a call of ten, with five audio slots and nine of video. Media comes by the
    second, from whom the test says; the label of user n's video is n + 100."""

    def __init__(self, plan: Plan = PLAN) -> None:
        self.now = 0.0
        self.asked: list[str] = []
        self.sequence = 0
        self.vanished: set[str] = set()
        self.crew = SimpleNamespace(
            fleet=SimpleNamespace(timers=TimerHeap()),
            plan=plan,
            past=Figures(),
            seats={CALL: plan.per_call},
            sending={"0"},
            is_sending=lambda user: user not in self.vanished,
        )
        received = Reception(None)
        received.offer(range(5), range(5, 14))
        self.client = SimpleNamespace(
            user="0",
            received=received,
            open_at=0.001,
            asked_at=0.0,
            audio_slots=5,
            video_slots=9,
            roster=[],
            watch=lambda users, now, qualities: setattr(self, "asked", users),
        )
        self.seat = Seat(self.crew, CALL, 0, checked=False)
        self.seat.client = self.client
        self.roster(*range(10))

    def roster(self, *users: int) -> None:
        self.client.roster = [{"userid": str(user), "ssrc_video": str(user + 100)} for user in users]
        self.seat._watch(self.now)

    def run(self, seconds: int, voices: list[int] = VOICES, black: tuple[int, ...] = ()) -> None:
        """``voices``: what comes in the first slots of audio. Tiles come, but those of ``black``."""
        for _ in range(seconds):
            self.now += 1.0
            self.sequence += 1
            audio, video = self.client.received.audio, self.client.received.video
            for stream, label in zip(audio, voices, strict=False):
                stream.count(self.sequence, label)
            for stream, user in zip(video, self.asked, strict=False):
                if int(user) not in black:
                    stream.count(self.sequence, int(user) + 100)
            self.seat._look(self.now)

    def forget(self) -> None:
        self.crew.past = Figures()

    @property
    def missed(self) -> tuple[int, int]:
        """(streams that should have come, those of them that did not)."""
        return self.crew.past.slots, self.crew.past.silent_slots


def settled(plan: Plan = PLAN) -> World:
    world = World(plan)
    world.run(4)
    world.forget()
    return world


def test_two_voices_of_others_and_nine_tiles_are_due() -> None:
    world = settled()
    world.run(10)
    assert world.missed == (110, 0)


def test_nothing_is_due_at_once() -> None:
    world = World()
    world.run(3, voices=[], black=tuple(range(10)))
    assert world.missed == (0, 0)


def test_voices_do_not_stand_in_for_tiles() -> None:
    world = settled()
    world.run(10, voices=[900, 901, 902, 903, 904], black=(3, 7))
    assert world.missed == (110, 20)


def test_tiles_do_not_stand_in_for_voices() -> None:
    world = settled()
    world.run(10, voices=[])
    assert world.missed == (110, 20)


def test_all_that_stops_is_missed_while_others_come_and_go() -> None:
    world = settled()
    for _ in range(5):
        world.roster(*range(9))
        world.run(1, voices=[], black=tuple(range(10)))
        world.roster(*range(10))
        world.run(1, voices=[], black=tuple(range(10)))
    due, silent = world.missed
    assert due == silent >= 80


def test_a_newcomer_has_time_until_he_is_missed() -> None:
    world = World()
    world.roster(*range(9))
    world.run(4)
    world.forget()
    world.roster(*range(10))
    world.run(2, black=(9,))
    assert world.missed[1] == 0
    world.run(2, black=(9,))
    assert world.missed[1] == 2


def test_nobody_misses_who_has_vanished() -> None:
    world = settled()
    world.vanished = {"4"}
    world.run(10, voices=[900], black=(4,))  # it may have been the turn of who vanished to speak
    assert world.missed == (90, 0)


def test_turning_the_page_does_not_keep_the_voices_from_being_missed() -> None:
    world = settled(attrs.evolve(PLAN, tiles=2))
    for _ in range(5):
        world.seat._page += 1
        world.seat._watch(world.now)
        world.run(2, voices=[])
    assert world.missed == (20, 20)


@pytest.mark.parametrize(("seconds", "wrong"), [(10, 0), (12, 2)])
def test_who_is_not_asked_for_any_more_is_shown_no_longer(seconds: int, wrong: int) -> None:
    world = settled(attrs.evolve(PLAN, tiles=2))
    before = world.asked
    world.seat._page = 1
    world.seat._watch(world.now)
    assert not set(before) & set(world.asked)
    world.asked = before  # the server goes on with what was
    world.run(seconds)
    assert world.crew.past.wrong == 2 * wrong
