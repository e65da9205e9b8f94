"""Receivers behind links that do not carry all the video they want."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from sft.forwarding import table
from sft.forwarding.downlink import Reason
from sft.forwarding.keyframes import Cause
from sft.forwarding.slot import Grant, Slot
from sft.webrtc import rtcp
from support.slow_link import SlowLink, remb

LOW, HIGH = 1, 2
AUDIO, VIDEO = 111, 100
STEP = 0.005
FPS = 15
LOW_RATE, HIGH_RATE = 120_000, 500_000
"""Bit/s of a sender's layers, and of its sound 32 000."""


@dataclass
class Scene:
    """Some senders of both layers, one receiver that hears and sees them, behind a link."""

    call: object
    senders: list = field(default_factory=list)
    receiver: object = None
    link: SlowLink | None = None
    history: list = field(default_factory=list)
    """(time, grants) at each change."""
    asked: int = 0
    _frame: int = 0
    _next: float = 0.0
    _keys: dict = field(default_factory=dict)

    def watch(self, *qualities: int) -> None:
        wanted = [
            (sender.endpoint, quality) for sender, quality in zip(self.senders, qualities, strict=False)
        ]
        self.call.table.set_streams(self.receiver.endpoint, wanted, self.call.now)

    def run(self, seconds: float) -> None:
        call = self.call
        end = call.now + seconds
        while call.now < end:
            if call.now >= self._next:
                self._next = call.now + 1 / FPS
                self._send()
            call.advance(STEP)
            self.link.step(call.now, STEP)
            grants = self.grants
            if not self.history or self.history[-1][1] != grants:
                self.history.append((call.now, grants))

    @property
    def grants(self) -> list[int]:
        return [int(slot.granted) for slot in self.receiver.endpoint.video_slots if slot.wanted is not None]

    @property
    def budget(self):
        return self.receiver.endpoint.budget

    def changes(self, since: float) -> int:
        return len([when for when, _ in self.history if when > since])

    def _send(self) -> None:
        self._frame += 1
        for index, sender in enumerate(self.senders):
            for packet in sender.asked(rtcp.Pli):
                self._keys[packet.media] = True
                self.asked += 1
            if self._frame % 3 != 2:  # ten packets a second, nearly
                sender.audio(30, payload=bytes(400))
            for ssrc, rid, rate in ((0x100 + index, "h", HIGH_RATE), (0x200 + index, "l", LOW_RATE)):
                key = self._keys.pop(ssrc, self._frame == 1)
                size = int(rate / FPS / 8) * (3 if key else 1)
                while size > 0:
                    piece = min(size, 1000)
                    size -= piece
                    name = rid if self._frame < 5 else ""
                    sender.video(ssrc, name, key=key, marker=not size, payload=bytes(piece))
                    key = False


@pytest.fixture
def scene(call) -> Scene:
    """Three senders; the link is wide until ``scene.link.rate`` says otherwise."""
    scene = Scene(call, [call.join() for _ in range(3)])
    scene.receiver = call.join()
    scene.receiver.endpoint.budget.downlink.takes_remb = True
    call.connect_all()
    scene.link = SlowLink(scene.receiver, 10_000_000)
    scene.watch(HIGH, HIGH, HIGH)
    return scene


def squeeze(scene: Scene, rate: float) -> None:
    """The link is wide for eight seconds, then it has this rate."""
    scene.run(8)
    assert scene.grants == [Grant.FULL] * 3
    scene.link.rate = rate


def test_an_estimate_that_falls_by_jitter_alone_takes_no_picture_away(scene: Scene) -> None:
    scene.run(8)
    scene.link.estimates = False
    for _ in range(100):  # no queue, no loss, and always a little less than what arrives
        arriving = sum(LOW_RATE if grant is Grant.LOW else HIGH_RATE for grant in map(Grant, scene.grants))
        scene.receiver.send_rtcp(rtcp.write_receiver_report(1) + remb(int(0.8 * arriving)))
        scene.run(0.2)
        assert Grant.PAUSED not in scene.grants
    assert scene.grants == [Grant.LOW] * 3


def settle(scene: Scene, seconds: float = 8) -> None:
    """What happens from now on is not the transition's any more."""
    scene.run(seconds)
    scene.link.longest = 0.0
    scene.link.dropped.clear()
    scene.link.passed.clear()


def until(scene: Scene, grants: list[int], seconds: float) -> float:
    """How long it takes until these are granted."""
    since = scene.call.now
    while scene.grants != grants:
        assert scene.call.now < since + seconds, scene.history
        scene.run(0.1)
    return scene.call.now - since


def test_a_wide_link_carries_everything(scene) -> None:
    scene.run(20)
    assert scene.changes(0) == 1
    assert scene.budget.reason is None
    assert scene.budget.degradations == 0
    assert scene.receiver.endpoint.padding == 0


def test_what_does_not_fit_is_made_smaller_and_sound_is_not_touched(scene) -> None:
    squeeze(scene, 700_000)
    scene.run(8)
    assert scene.link.loss(AUDIO) < 0.02
    assert scene.budget.reason is Reason.REMB
    settle(scene, 0)
    since = scene.call.now
    scene.run(60)
    assert scene.grants == [Grant.LOW] * 3
    assert scene.changes(since) == 0, "attempts to climb are made with padding, not with pictures"
    assert scene.receiver.endpoint.padding > 0
    assert scene.link.loss(AUDIO) == scene.link.loss(VIDEO) == 0
    assert scene.link.longest < 0.3


def test_it_recovers_when_there_is_room_and_stays_there(scene) -> None:
    squeeze(scene, 700_000)
    scene.run(30)
    scene.link.rate = 10_000_000
    assert until(scene, [Grant.FULL] * 3, 45) > 2
    since = scene.call.now
    scene.run(30)
    assert scene.changes(since) == 0
    assert scene.budget.reason is None
    assert scene.budget.degradations <= 2


def test_a_little_room_goes_to_the_first_of_those_who_are_asked_for(scene) -> None:
    squeeze(scene, 1_300_000)
    settle(scene, 60)
    since = scene.call.now
    scene.run(40)
    assert scene.grants == [Grant.FULL, Grant.LOW, Grant.LOW]
    assert scene.changes(since) == 0
    assert scene.link.loss(AUDIO) == 0
    assert scene.link.longest < 0.3


def test_pictures_are_paused_from_the_last_when_not_even_small_ones_fit(scene) -> None:
    squeeze(scene, 400_000)
    settle(scene, 12)
    scene.run(40)
    assert scene.grants[0] == Grant.LOW
    assert scene.grants[2] == Grant.PAUSED
    assert scene.grants == sorted(scene.grants, reverse=True)
    assert scene.link.loss(AUDIO) == 0
    assert scene.link.longest < 0.3


def test_when_only_sound_fits_only_sound_is_sent_and_pictures_come_back(scene) -> None:
    squeeze(scene, 170_000)
    settle(scene, 12)
    scene.run(30)
    assert scene.grants == [Grant.PAUSED] * 3
    assert scene.link.loss(AUDIO) < 0.02
    scene.link.rate = 10_000_000
    until(scene, [Grant.FULL] * 3, 60)
    scene.run(1)
    shown = {slot.source.layer for slot in scene.receiver.endpoint.video_slots if slot.source}
    assert shown == {"h"}


@pytest.mark.parametrize(("room", "reason"), [(0.1, Reason.LOSS), (3.0, Reason.DELAY)])
def test_a_receiver_without_remb_is_judged_by_its_reports(scene, room: float, reason: Reason) -> None:
    scene.receiver.endpoint.budget.downlink.takes_remb = scene.link.estimates = False
    scene.link.room = room
    squeeze(scene, 700_000)
    scene.run(6.5)
    assert scene.budget.reason is reason
    settle(scene, 30)
    scene.run(30)
    assert max(scene.grants) < Grant.FULL
    assert scene.link.loss(AUDIO) < 0.02
    scene.link.rate = 10_000_000
    until(scene, [Grant.FULL] * 3, 45)


def test_each_switch_asks_for_its_keyframe_and_no_more(scene) -> None:
    squeeze(scene, 700_000)
    asked = scene.asked
    scene.run(30)
    scene.link.rate = 10_000_000
    until(scene, [Grant.FULL] * 3, 45)
    scene.run(5)
    assert scene.call.table.gate.causes[Cause.BUDGET] == 6
    assert scene.asked - asked <= 12


def test_a_new_choice_stays_within_what_the_link_carries(scene) -> None:
    squeeze(scene, 700_000)
    settle(scene)
    since = scene.call.now
    scene.watch(HIGH, HIGH)
    scene.run(5)
    assert scene.grants == [Grant.LOW] * 2
    scene.watch(LOW, LOW, LOW)
    scene.run(30)
    assert scene.changes(since) == 2, scene.history
    assert scene.grants == [Grant.FULL] * 3, "small is what they are wanted in"
    assert scene.budget.reason is None
    assert scene.link.longest < 0.3


def test_congestion_that_no_picture_is_to_blame_for_limits_none_later(scene) -> None:
    scene.watch()
    scene.run(3)
    scene.budget.downlink.take_loss(1000, 500, scene.call.now)
    scene.run(3)
    scene.watch(HIGH, HIGH, HIGH)
    scene.run(3)
    assert scene.budget.reason is None
    assert scene.grants == [Grant.FULL] * 3


def test_without_adaption_everything_goes_out_whatever_happens(scene) -> None:
    scene.call.table._next_budget = float("inf")
    squeeze(scene, 300_000)
    scene.run(20)
    assert scene.grants == [Grant.FULL] * 3
    assert scene.link.loss(VIDEO) > 0.5


@pytest.mark.parametrize("remb", [True, False])
@pytest.mark.parametrize("rate", [200_000, 400_000, 900_000, 1_500_000])
def test_it_comes_to_rest_whatever_the_rate(scene, rate: int, remb: bool) -> None:
    scene.receiver.endpoint.budget.downlink.takes_remb = scene.link.estimates = remb
    squeeze(scene, rate)
    settle(scene, 20)
    since = scene.call.now
    scene.run(60)
    assert scene.grants == sorted(scene.grants, reverse=True)
    assert scene.changes(since) == 0
    assert scene.link.loss(AUDIO) < 0.02


def test_where_padding_finds_no_place_the_next_picture_is_tried_itself(scene, monkeypatch) -> None:
    monkeypatch.setattr(Slot, "may_be_padded", False)
    squeeze(scene, 700_000)
    scene.run(10)
    assert scene.grants == [Grant.LOW] * 3
    scene.link.rate = 10_000_000
    until(scene, [Grant.FULL] * 3, 60)
    assert scene.receiver.endpoint.padding == 0


def test_of_many_who_might_climb_some_wait_for_their_turn(scene, monkeypatch) -> None:
    monkeypatch.setattr(table, "MAX_PROBING", 0)
    squeeze(scene, 700_000)
    scene.run(40)
    assert scene.grants == [Grant.LOW] * 3
    assert scene.receiver.endpoint.padding == 0
    monkeypatch.setattr(table, "MAX_PROBING", 1)
    scene.run(4)
    assert scene.receiver.endpoint.padding > 0
