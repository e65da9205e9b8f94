"""What participants say to many others: carried a few messages per turn of the timer heap.

In a call of hundreds one message of a client makes hundreds of ours; sent at once they would hold up
everybody's packets.
"""

from __future__ import annotations

from collections.abc import Callable

from sft.calls.participant import Participant
from sft.calls.timers import TimerHeap

BATCH = 16
"""Messages per turn; each takes about 0.1 ms."""


class Relay:
    """The messages under way in one call, in order for each receiver."""

    def __init__(self, timers: TimerHeap, send: Callable[[Participant, str, float], None]) -> None:
        self._send = send
        self._waiting: dict[Participant, list[str]] = {}
        self._timer = timers.timer(self._carry)

    def post(self, receiver: Participant, text: str, now: float) -> None:
        """Send a message when its turn has come."""
        if not self._waiting:
            self._timer.set(now)
        self._waiting.setdefault(receiver, []).append(text)

    def forget(self, receiver: Participant) -> None:
        """It left, or came back on a new connection and will be told anew."""
        self._waiting.pop(receiver, None)

    def stop(self) -> None:
        self._waiting.clear()
        self._timer.cancel()

    def _carry(self, now: float) -> None:
        left = BATCH
        while left > 0 and self._waiting:
            receiver = next(iter(self._waiting))
            texts = self._waiting.pop(receiver)
            if len(texts) > left:
                self._waiting[receiver] = texts[left:]
            for text in texts[:left]:
                self._send(receiver, text, now)
            left -= len(texts)
        if self._waiting:
            self._timer.set(now)
