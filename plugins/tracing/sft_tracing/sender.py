"""Traces wait here, within bounds, until a thread has sent them: nobody ever waits for the collector."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import trio

from sft.plugin import CommonServices, JoinRecord

QUEUE = 2000
"""Traces that may wait."""

QUEUE_WITHOUT_OFFER = QUEUE // 2
"""As many as may wait when one of a join without an offer comes: a flood of refusals leaves others room."""

BATCH = 200
"""Traces sent at once."""

GATHER_SECONDS = 1.0
"""How long the first waits for others. With BATCH it bounds what traces cost when joins come in floods."""

LAST_SECONDS = 2.0
"""For what still waits when the server stops."""

QUIET_SECONDS = 60.0
"""Between two lines in the log that traces are lost."""


Trace = TypeVar("Trace")


class Sender(Generic[Trace]):
    """``take`` joins, and ``run`` it in a nursery."""

    def __init__(
        self,
        begin: Callable[[JoinRecord], Trace | None],
        send: Callable[[Sequence[Trace]], str],
        services: CommonServices,
    ) -> None:
        """``begin``: the trace of a join, or None if it is not sampled; ``send``: blocks, and gives why these
        could not be sent; empty: they were."""
        self._begin = begin
        self._send = send
        self._services = services
        self._queue: deque[Trace] = deque()
        self._filled = trio.Event()
        self._quiet_until = -math.inf
        self.sent = 0
        """Traces that the collector took."""
        self.failed = 0
        """Traces that it did not take."""
        self.dropped = 0
        """Traces for which the queue had no room."""

    def take(self, join: JoinRecord) -> None:
        trace = self._begin(join)  # here, so that what is not sampled takes no place
        if trace is None:
            return
        if len(self._queue) >= (QUEUE if join.phases else QUEUE_WITHOUT_OFFER):
            self.dropped += 1
            self._complain("too many wait for the collector")
        else:
            self._queue.append(trace)
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
            reason = await trio.to_thread.run_sync(self._send, batch, abandon_on_cancel=True)
        except Exception as error:  # the library's, which must not end this task
            reason = repr(error)
        if reason:
            self.failed += len(batch)
            self._complain(reason)
        else:
            self.sent += len(batch)

    def _complain(self, reason: str) -> None:
        now = self._services.now()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            self._services.warn(
                "tracing.lost", reason=reason, failed=self.failed, dropped=self.dropped, sent=self.sent
            )
