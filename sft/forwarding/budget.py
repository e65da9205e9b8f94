"""What of the wanted video a receiver gets when its downlink does not carry everything.

Sound always goes out. Pictures go out as wanted until there are signs that this is too much
(``downlink.py``). Then as many as fit go on, in the order of CONFSTREAMS: first each in the small layer,
then, while there is room, in the wanted one; the rest is paused. From there it climbs by one picture at a
time, each step tried with padding before (``probe.py``). An attempt that fails makes the next one wait twice
as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sft.forwarding.downlink import Downlink, Reason
from sft.forwarding.probe import Probe
from sft.forwarding.rate import RateMeter
from sft.forwarding.slot import Grant, Slot

SETTLE = 2.0
"""Seconds after a reduction, or a failed attempt, in which its consequences are waited for: the receiver's
estimate goes on falling until the queue is gone, and reports tell of the time before."""

SLOW_SETTLE = 4.0
"""The same after an attempt with a receiver whose reports are all that tells."""

FURTHER = 0.9
"""An estimate below this part of the one that a reduction was made by leads to the next at once."""

HOLD = 3.0
MAX_HOLD = 12.0
MAX_HOLD_SHOWN = 60.0
"""Seconds between a reduction and the next attempt, and what that grows to when attempts fail: those with
padding, which nobody sees, and those that had a picture come and go."""

SLOW_PACE = 0.5
"""How fast what is sent rises, when only reports tell that it was too much."""

HEADROOM = 1.15
"""More than the next picture takes is tried: it comes in bursts, padding does not."""

STEP = 1.0
"""Seconds between two steps up."""

PROVEN = 10.0
"""Seconds after which a step up was right; after the last step, the limit is lifted."""

Costs = Callable[[Slot], tuple[float, float]]
"""Bit/s of a slot in its small layer, and as wanted."""


class Budget:
    """One receiver's. Rates are bit/s of video, repeats and padding included."""

    __slots__ = (
        "_allowance",
        "_climb_at",
        "_climbed_at",
        "_costs",
        "_hold",
        "_reduced_at",
        "_settled_at",
        "degradations",
        "downlink",
        "probe",
        "reason",
        "sent",
    )

    def __init__(self, costs: Costs) -> None:
        self.downlink = Downlink()
        self.sent = RateMeter()
        self.reason: Reason | None = None
        """Why less is sent than wanted; it stays for a while when everything is sent again."""
        self.degradations = 0
        """How often pictures were taken away."""
        self.probe: Probe | None = None
        self._costs = costs
        self._allowance = float("inf")
        self._hold = HOLD
        self._climb_at = 0.0
        self._climbed_at = float("-inf")
        self._reduced_at = float("-inf")
        self._settled_at = 0.0

    def allot(self, slots: Sequence[Slot]) -> None:
        """Grant what fits into the allowance; after a change of what is wanted."""
        for slot, grant in zip(slots, self._fitting(slots), strict=True):
            slot.granted = grant

    def round(self, slots: Sequence[Slot], octets: int, now: float, *, may_probe: bool = True) -> list[Slot]:
        """Look at what has come since the last time; gives the slots whose grant has changed. ``octets``:
        what was sent so far. ``may_probe``: an attempt to climb may begin."""
        self.sent.sample(octets, now)
        self.downlink.watch(self.sent.rate, now)
        if now < self._settled_at:
            self.downlink.forget_loss()
            return self._reduce(slots, Reason.REMB, now) if self._fell_further(now) else []
        reason = self.downlink.congestion(self.sent.rate, now)
        if reason is not None:
            return self._reduce(slots, reason, now)
        if self.reason is not None:
            self._allowance = max(self._allowance, self.downlink.carried(self.sent.rate))
            return self._climb(slots, octets, now, may_probe)
        return []

    def padding(self, octets: int, now: float) -> int:
        """Packets of padding to send now; ``octets``: what was sent so far."""
        return 0 if self.probe is None else self.probe.due(octets, now)

    def _fell_further(self, now: float) -> bool:
        """Whether the receiver's estimate has fallen again since a reduction: the first one often comes from
        before the queue was long. What falls after an attempt to climb was the padding's."""
        remb = self.downlink.remb
        return remb is not None and remb < FURTHER * self._allowance and now < self._reduced_at + SETTLE

    def _reduce(self, slots: Sequence[Slot], reason: Reason, now: float) -> list[Slot]:
        if self.probe is not None:  # it was the padding; see whether that was all
            self._give_up(now)
            return []
        self._allowance = self.downlink.allowance(reason, self.sent.rate, now)
        changed = []
        least = Grant.PAUSED if self.downlink.is_certain(now) else Grant.LOW
        for slot, fitting in zip(slots, self._fitting(slots), strict=True):
            grant = max(fitting, least)
            if grant < slot.granted:
                slot.granted = grant
                changed.append(slot)
        if changed:
            self.reason = reason
            self.degradations += 1
            self._reduced_at = now
            self._settled_at = now + SETTLE
            failed = now < self._climbed_at + PROVEN
            self._hold = min(2 * self._hold, MAX_HOLD_SHOWN) if failed else HOLD
            self._climb_at = now + self._hold
        elif self.reason is None:  # there was nothing to take away
            self._allowance = float("inf")
        return changed

    def _climb(self, slots: Sequence[Slot], octets: int, now: float, may_probe: bool) -> list[Slot]:
        step = self._next_step(slots)
        if step is None:
            self.probe = None
            if now >= max(self._climbed_at, self._settled_at) + PROVEN:
                self.reason = None
                self._allowance = float("inf")
                self._hold = HOLD
            return []
        slot, grant, goal = step
        if now < self._climb_at or (self.probe is None and not may_probe):
            return []
        if self.probe is None:
            pace = 1.0 if self.downlink.takes_remb else SLOW_PACE
            self.probe = Probe(self.sent.rate, goal * HEADROOM, octets, now, pace=pace)
        self.probe.goal = goal * HEADROOM
        if not self.downlink.has_room(now):
            self._give_up(now)
        elif self.probe.is_over(now) or (self.probe.is_proven(now) and self.sent.rate >= goal):
            self.probe = None
            self._allowance = goal
            self._climbed_at = now
            self._climb_at = now + STEP
            slot.granted = grant
            return [slot]
        return []

    def _give_up(self, now: float) -> None:
        """An attempt to climb has failed."""
        self.probe = None
        self._settled_at = now + (SETTLE if self.downlink.takes_remb else SLOW_SETTLE)
        self._hold = max(self._hold, min(2 * self._hold, MAX_HOLD))
        self._climb_at = now + self._hold

    def _next_step(self, slots: Sequence[Slot]) -> tuple[Slot, Grant, float] | None:
        """The first paused slot, else the first in its small layer: its next grant, what all cost then."""
        total = 0.0
        paused = small = None
        for slot in slots:
            low, full = self._costs(slot)
            if slot.granted is Grant.PAUSED:
                paused = paused or (slot, Grant.LOW, low)
            elif slot.granted is Grant.LOW:
                total += low
                small = small or (slot, Grant.FULL, full - low)
            else:
                total += full
        step = paused or small
        return step and (step[0], step[1], max(1.0, total + step[2]))

    def _fitting(self, slots: Sequence[Slot]) -> list[Grant]:
        """What each slot may show within the allowance."""
        room = self._allowance
        costs = [self._costs(slot) for slot in slots]
        grants = [Grant.PAUSED] * len(costs)
        for index, (low, _) in enumerate(costs):
            if low <= room:
                grants[index] = Grant.LOW
                room -= low
        for index, (low, full) in enumerate(costs):
            if grants[index] is Grant.LOW and full - low <= room:
                grants[index] = Grant.FULL
                room -= full - low
        return grants
