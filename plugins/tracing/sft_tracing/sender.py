"""Joins wait here, within bounds, until a thread has sent them: nobody ever waits for the collector."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

import trio

from sft.plugin import CommonServices, JoinRecord

QUEUE = 2000
"""Joins that may wait."""

BATCH = 200
"""Joins sent at once."""

GATHER_SECONDS = 1.0
"""How long the first waits for others. With BATCH it bounds what traces cost when joins come in floods."""

LAST_SECONDS = 2.0
"""For what still waits when the server stops."""

QUIET_SECONDS = 60.0
"""Between two lines in the log that traces are lost."""


class Sender:
    """``take`` joins, and ``run`` it in a nursery."""

    def __init__(
        self, send: Callable[[Sequence[JoinRecord]], tuple[int, str]], services: CommonServices
    ) -> None:
        """``send``: blocks; gives how many of the joins are traced, and why those were not sent."""
        self._send = send
        self._services = services
        self._queue: deque[JoinRecord] = deque()
        self._filled = trio.Event()
        self._quiet_until = -math.inf
        self.sent = 0
        """Traces that the collector took."""
        self.failed = 0
        """Traces that it did not take."""
        self.dropped = 0
        """Joins for which the queue had no room."""

    def take(self, join: JoinRecord) -> None:
        if len(self._queue) >= QUEUE:
            self.dropped += 1
            self._complain("too many wait for the collector")
        else:
            self._queue.append(join)
            self._filled.set()

    async def run(self) -> None:
        """Send until cancelled, then what still waits, if the collector answers."""
        answers = True
        try:
            while True:
                await self._filled.wait()
                await trio.sleep(GATHER_SECONDS)
                answers = False  # as long as it has not
                await self._send_some()
                answers = True
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(LAST_SECONDS):
                while answers and self._queue:
                    await self._send_some()

    async def _send_some(self) -> None:
        queue = self._queue
        batch = [queue.popleft() for _ in range(min(BATCH, len(queue)))]
        if not queue:
            self._filled = trio.Event()
        try:
            traces, reason = await trio.to_thread.run_sync(self._send, batch, abandon_on_cancel=True)
        except Exception as error:  # older exporters let those of their HTTP client out
            traces, reason = len(batch), repr(error)
        if reason:
            self.failed += traces
            self._complain(reason)
        else:
            self.sent += traces

    def _complain(self, reason: str) -> None:
        now = self._services.now()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            self._services.warn(
                "tracing.lost", reason=reason, failed=self.failed, dropped=self.dropped, sent=self.sent
            )
