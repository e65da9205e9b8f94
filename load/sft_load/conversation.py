"""Who speaks when, and which page of tiles one looks at: decisions only, time comes in."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from random import Random


class Conversation:
    """Talk spurts in one call. The same seed speaks the same way, in whichever process it is asked.

    There are as many microphones as speak at any time. After a spurt of random length each goes to
    another seat.
    """

    def __init__(self, seed: int, speakers: int, spurt_seconds: float) -> None:
        self._random = Random(seed)
        self._spurt_seconds = spurt_seconds
        self._holders: list[int | None] = [None] * speakers
        self._changes = [(0.0, microphone) for microphone in range(speakers)]

    @property
    def speaking(self) -> set[int]:
        """Seats."""
        return {holder for holder in self._holders if holder is not None}

    @property
    def next_change(self) -> float:
        """When to ask again; infinity: never."""
        return self._changes[0][0] if self._changes else float("inf")

    def advance(self, now: float, seats: int) -> set[int]:
        """Seconds from the beginning, and how many seats the call has now. Returns who speaks."""
        for microphone, holder in enumerate(self._holders):
            if holder is not None and holder >= seats:
                self._pass_on(microphone, seats)
        while self._changes and self._changes[0][0] <= now:
            when, microphone = heapq.heappop(self._changes)
            self._pass_on(microphone, seats)
            spurt = self._random.expovariate(1 / self._spurt_seconds)
            heapq.heappush(self._changes, (when + max(1.0, spurt), microphone))
        return self.speaking

    def _pass_on(self, microphone: int, seats: int) -> None:
        """To a random seat that is silent; with fewer seats than microphones some lie idle."""
        wish = self._random.random()
        before, self._holders[microphone] = self._holders[microphone], None
        taken = self.speaking
        silent = [seat for seat in range(seats) if seat not in taken and seat != before]
        if silent:
            self._holders[microphone] = silent[int(wish * len(silent))]
        elif before is not None and before < seats:
            self._holders[microphone] = before


def tiles(roster: Sequence[str], me: str, page: int, count: int) -> list[str]:
    """Whom ``me`` looks at: ``count`` participants from the roster, those after it on page 0.

    So everybody is looked at by about as many.
    """
    if me not in roster:
        return []
    position = roster.index(me)
    others = [*roster[position + 1 :], *roster[:position]]
    if len(others) <= count:
        return list(others)
    start = page * count % len(others)
    return (others + others)[start : start + count]
