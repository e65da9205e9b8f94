"""Consent to send on the selected pair (RFC 7675): asked for every five seconds, gone after thirty."""

from __future__ import annotations

from typing import Final

from sft.model import RandomBytes

INTERVAL: Final = 5.0
"""Seconds between two requests, give or take a fifth (section 5.1)."""

EXPIRY: Final = 30.0


class Consent:
    """Also the keep-alive: a request every five seconds holds every NAT binding open."""

    __slots__ = ("_expires", "_next", "_random")

    def __init__(self, random: RandomBytes) -> None:
        self._random = random
        self._next: float | None = None
        self._expires: float | None = None

    @property
    def deadline(self) -> float | None:
        if self._next is None or self._expires is None:
            return None
        return min(self._next, self._expires)

    def confirm(self, now: float) -> None:
        """The peer answered; the first time begins the watch."""
        self._expires = now + EXPIRY
        if self._next is None:
            self._schedule(now)

    def prolong(self, now: float) -> None:
        """ICE begins anew: what was selected may be used for so much longer. Nothing was: nothing happens."""
        if self._expires is not None:
            self._expires = now + EXPIRY

    def is_due(self, now: float) -> bool:
        """Whether to ask now; plans the next time."""
        if self._next is None or now < self._next:
            return False
        self._schedule(now)
        return True

    def has_expired(self, now: float) -> bool:
        return self._expires is not None and now >= self._expires

    def _schedule(self, now: float) -> None:
        self._next = now + INTERVAL * (0.8 + 0.4 * self._random(1)[0] / 255)
