"""What participants say to many others: carried a few messages per turn of the timer heap.

In a call of hundreds one message of a client makes hundreds of ours; sent at once they would hold up
everybody's packets. What waits is bounded: a newer message takes the place of an older one of the same
origin, since each tells all of the sender's properties.
"""

from __future__ import annotations

from collections.abc import Callable

from sft.calls.participant import Participant
from sft.calls.timers import TimerHeap
from sft.model import ParticipantId

BATCH = 16
"""Messages per turn; each takes about 0.1 ms."""


class Relay:
    """The messages under way in one call: for each receiver the newest of each origin."""

    def __init__(self, timers: TimerHeap, send: Callable[[Participant, str, float], None]) -> None:
        self._send = send
        self._waiting: dict[Participant, dict[ParticipantId, str]] = {}
        self._timer = timers.timer(self._carry)

    def post(self, receiver: Participant, origin: ParticipantId, text: str, now: float) -> None:
        """Send a message when its turn has come."""
        if not self._waiting:
            self._timer.set(now)
        self._waiting.setdefault(receiver, {})[origin] = text

    def forget(self, receiver: Participant) -> None:
        """It left, or came back on a new connection and will be told anew."""
        self._waiting.pop(receiver, None)

    def stop(self) -> None:
        self._waiting.clear()
        self._timer.cancel()

    def _carry(self, now: float) -> None:
        for _ in range(BATCH):
            if not self._waiting:
                return
            receiver, texts = next(iter(self._waiting.items()))
            text = texts.pop(next(iter(texts)))
            if not texts:
                del self._waiting[receiver]
            self._send(receiver, text, now)
        if self._waiting:
            self._timer.set(now)
