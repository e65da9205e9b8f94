"""The only code that may ask a sender for a keyframe (packet-path rule 8)."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from sft.forwarding.source import Source

THROTTLE = 0.5
"""Seconds between two requests to one source; Chrome ignores what comes within 0.3 s of the last."""

MAX_INTERVAL = 2.0
"""Repeats back off from THROTTLE to this."""

BLIND_REPEATS = 3
"""Requests to a source without frame descriptors, where nobody can see a keyframe pass."""

ASLEEP = 10.0
"""After this long without a packet a source is no longer asked; when it wakes, its slots ask again."""


class Cause(StrEnum):
    """Why a keyframe is needed."""

    JOIN = "join"
    SUBSCRIPTION = "subscription"
    LAYER_CHANGE = "layer_change"
    RECEIVER_PLI = "receiver_pli"
    RECEIVER_FIR = "receiver_fir"
    RECEIVER_BACK = "receiver_back"
    REPAIR_FAILED = "repair_failed"
    BUDGET = "budget"


class _Wish:
    """A keyframe that is wanted and has not been forwarded."""

    __slots__ = ("due", "interval", "times")

    def __init__(self, due: float) -> None:
        self.due = due
        self.interval = THROTTLE
        self.times = 0


class KeyframeGate:
    """Requests per source: throttled, and repeated until a keyframe was forwarded."""

    def __init__(
        self, ask: Callable[[Source], None], wake: Callable[[float], None], causes: dict[Cause, int]
    ) -> None:
        """``ask(source)`` sends one request; ``wake(when)`` gets :meth:`tick` called at that time;
        ``causes``: where to count how often a keyframe was wanted."""
        self._ask = ask
        self._wake = wake
        self._wishes: dict[Source, _Wish] = {}
        self.causes = causes

    def request(self, source: Source, cause: Cause, now: float) -> None:
        """Somebody needs a keyframe of this source."""
        self.causes[cause] += 1
        soonest = max(now, source.asked + THROTTLE)
        wish = self._wishes.get(source)
        if wish is None:
            wish = self._wishes[source] = _Wish(soonest)
            source.watched = True
        wish.due = min(wish.due, soonest)
        self._ask_if_due(source, wish, now)

    def forwarded(self, source: Source) -> None:
        """A keyframe of this source has started on its way to all who wanted it."""
        if self._wishes.pop(source, None) is not None:
            source.watched = bool(source.waiting)

    forget = forwarded
    """The source is gone, or nobody wants it any more."""

    def tick(self, now: float) -> None:
        """Send the repeats that are due."""
        for source, wish in list(self._wishes.items()):
            if not source.slots and not source.waiting:
                self.forget(source)
            else:
                self._ask_if_due(source, wish, now)

    def _ask_if_due(self, source: Source, wish: _Wish, now: float) -> None:
        blind = not source.described and wish.times >= BLIND_REPEATS
        if blind or now - source.arrival > ASLEEP:
            self.forget(source)
            return
        if wish.due <= now:
            source.asked = now
            wish.times += 1
            wish.due = now + wish.interval
            wish.interval = min(wish.interval * 2, MAX_INTERVAL)
            self._ask(source)
        self._wake(wish.due)
