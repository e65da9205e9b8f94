"""A STUN request until it is answered or given up (RFC 8489 section 6.2)."""

from __future__ import annotations

from typing import Final

RTO: Final = 0.5
"""Seconds until the first repeat; doubled each time."""
SENDS: Final = 7
LAST_WAIT: Final = 16
"""Times RTO, after the last repeat."""
GIVE_UP: Final = 39.5
"""Seconds after which an unanswered request is given up, at the standard RTO, also on a stream."""


class Transaction:
    """Send ``data`` when it is made and whenever :meth:`is_due` says so, until ``over``.

    ``reliable``: it goes over a stream, which repeats by itself (section 6.2.2). ``once``: it is not
    repeated either, and waits that many seconds.
    """

    __slots__ = ("_rto", "_sent", "data", "deadline", "id", "over")

    def __init__(
        self,
        id: bytes,
        data: bytes,
        now: float,
        *,
        rto: float = RTO,
        reliable: bool = False,
        once: float | None = None,
    ) -> None:
        self.id = id
        self.data = data
        self.over = False
        self._rto = rto
        self._sent = 1
        self.deadline = now + rto
        if reliable or once is not None:
            self.cancel(now + (once or GIVE_UP))

    def is_due(self, now: float) -> bool:
        """Whether to send again now; moves the deadline on."""
        if now < self.deadline or self.over:
            return False
        if self._sent >= SENDS:
            self.over = True
            return False
        self._sent += 1
        self.deadline = now + self._rto * (LAST_WAIT if self._sent == SENDS else 2 ** (self._sent - 1))
        return True

    def cancel(self, until: float) -> None:
        """No more repeats; an answer is taken until then."""
        self._sent = SENDS
        self.deadline = until
