"""The pump of a worker: one private epoll, one timer heap, no await per packet.

What is readable inside the epoll is served by plain calls, for a bounded time per turn (design: the packet
path, rule 1), in trio's place while that has nothing to do. Where that cannot be, one task waits for the
epoll's own descriptor.
"""

from __future__ import annotations

import math
import select
from collections import deque
from collections.abc import Callable

import trio

from sft.calls.timers import TimerHeap
from sft.plugin.interfaces import MakeWaiter, Wait
from sft.server.stand_in import stand_in, wait_for_both

EVENTS_PER_POLL = 64
TURN_SECONDS = 0.004
"""Timers and the other tasks of the loop wait no longer than this, plus one callback."""


class Pump:
    """Calls ``on_readable(now)`` and ``on_writable(now)`` of watched descriptors and fires due timers.

    ``on_error`` is told about any exception a callback lets out; it is a bug of ours or of a plugin,
    and must not end the calls of everybody else.
    """

    def __init__(self, timers: TimerHeap, on_error: Callable[[BaseException], None]) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[float], None]] = {}
        self._writers: dict[int, Callable[[float], None]] = {}
        self._ready: deque[tuple[int, int]] = deque()
        self._timers = timers
        self._scope: trio.CancelScope | None = None
        self._clock: Callable[[], float] = trio.current_time
        self._on_error = on_error
        self.make_waiter: MakeWaiter | None = None
        """What waits in trio's place, if an engine reads by itself (:class:`sft.plugin.ReadingEngine`)."""
        timers.on_earlier = self._wake_at

    def watch(
        self,
        fd: int,
        on_readable: Callable[[float], None],
        on_writable: Callable[[float], None] | None = None,
    ) -> None:
        self._epoll.register(fd, select.EPOLLIN)
        self._callbacks[fd] = on_readable
        if on_writable is not None:
            self._writers[fd] = on_writable

    def want_write(self, fd: int, wanted: bool) -> None:
        """Whether to call the ``on_writable`` of a watched descriptor."""
        if fd in self._writers:
            self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT if wanted else select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        self._writers.pop(fd, None)
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    @property
    def watched(self) -> int:
        return len(self._callbacks)

    async def run(self) -> None:
        """Serve until cancelled."""
        self._clock = trio.lowlevel.current_clock().current_time
        in_place = stand_in(self._waiter, self._turn)
        if in_place is not None:
            await in_place.run()
        while True:
            await self._run_until_timer()

    def _waiter(self, loop: int) -> Wait:
        own = self._epoll.fileno()
        if self.make_waiter is None:
            return wait_for_both(own, loop)
        return self.make_waiter(own, loop, self._callbacks, self._clock, self._on_error)

    def close(self) -> None:
        """Nothing is watched any more. May be called twice."""
        self._callbacks.clear()
        self._writers.clear()
        self._ready.clear()
        self._epoll.close()

    def _turn(self) -> float:
        """Serve descriptors and timers; returns for how many seconds there is nothing more to do."""
        timers = self._timers
        now = self._serve(self._clock())
        due = timers.next_deadline
        if due is not None and due <= now:
            self._fire(now)
            due = timers.next_deadline
        if self._ready:
            return 0.0
        return math.inf if due is None else max(0.0, due - now)

    async def _run_until_timer(self) -> None:
        """Serve descriptors until a deadline passes with nothing to read."""
        timers = self._timers
        with trio.CancelScope(deadline=_or_inf(timers.next_deadline)) as self._scope:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                self._turn()
                self._scope.deadline = _or_inf(timers.next_deadline)
        self._scope = None
        self._fire(trio.current_time())

    def _serve(self, now: float) -> float:
        """Serve what is readable, until the turn is over; returns the time. Who was not served is the first
        of the next turn, so that the first of the epoll cannot starve the others."""
        ready, callbacks, clock = self._ready, self._callbacks, self._clock
        if not ready:
            ready.extend(self._epoll.poll(0, EVENTS_PER_POLL))
        end = now + TURN_SECONDS
        while ready and now < end:
            fd, events = ready.popleft()
            if events & select.EPOLLOUT:
                self._call(self._writers.get(fd), now)
            if events != select.EPOLLOUT:  # readable, or failed, which reading finds out
                self._call(callbacks.get(fd), now)
            now = clock()
        return now

    def _call(self, callback: Callable[[float], None] | None, now: float) -> None:
        if callback is not None:  # else it was unwatched since the poll
            try:
                callback(now)
            except Exception as error:
                self._on_error(error)

    def _fire(self, now: float) -> None:
        try:
            self._timers.run_due(now)
        except Exception as error:
            self._on_error(error)

    def _wake_at(self, when: float) -> None:
        if self._scope is not None and when < self._scope.deadline:
            self._scope.deadline = when


def _or_inf(when: float | None) -> float:
    return math.inf if when is None else when
