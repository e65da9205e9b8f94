"""Serving in place of trio's loop while that has nothing to do.

A way through trio to a task and back costs some 80 us of CPU when the caches are cold: as much as a dozen
packets. trio tells an instrument how long it is about to wait; for that time we wait ourselves, for the
descriptors of the packet path and for what wakes trio. No task can run meanwhile, as none is ready to.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Collection

import attrs
import trio

from sft.plugin.interfaces import Wait


@attrs.frozen
class TrioLoop:
    """The loop that runs this task."""

    epoll: int
    """What it waits on."""
    runnable: Collection[object]
    """Tasks that are ready to run."""
    next_deadline: Callable[[], float]


class StandIn(trio.abc.Instrument):
    """Calls ``serve`` whenever ``wait`` is over, after as many seconds as it last answered at the latest."""

    def __init__(self, loop: TrioLoop, wait: Wait, serve: Callable[[], float]) -> None:
        self._loop = loop
        self._serve = serve
        self._clock = trio.lowlevel.current_clock().current_time
        self._wait = wait
        self._token = trio.lowlevel.current_trio_token()
        self._failed = trio.Event()
        self._error: BaseException | None = None

    async def run(self) -> None:
        """Until cancelled. Raises what ``serve`` lets out."""
        trio.lowlevel.add_instrument(self)
        try:
            await self._failed.wait()
            if self._error is not None:
                raise self._error
        finally:
            trio.lowlevel.remove_instrument(self)

    def before_io_wait(self, timeout: float) -> None:
        """trio is about to wait for so many seconds."""
        try:
            if self._serve_for(timeout):
                self._token.run_sync_soon(_wake, idempotent=True)
        except BaseException as error:  # the task raises it, or trio would only log it
            self._error = error
            self._failed.set()
            self._token.run_sync_soon(_wake, idempotent=True)

    def _serve_for(self, seconds: float) -> bool:
        """True: trio has something to do that it cannot know of yet, because it came up meanwhile."""
        runnable, next_deadline = self._loop.runnable, self._loop.next_deadline
        end = self._clock() + seconds
        wait = self._serve()
        while seconds:
            free = min(next_deadline(), end) - self._clock()
            if runnable or free <= 0:
                return True
            if self._wait(min(wait, free)):
                return False
            wait = self._serve()
        return False


def _wake() -> None:
    """Does nothing, in trio's loop."""


def wait_for_both(own: int, loop: int) -> Wait:
    """Waits for two descriptors; it is trio's turn if that of its ``loop`` is readable."""
    poll = select.poll()
    poll.register(loop, select.POLLIN)
    poll.register(own, select.POLLIN)

    def wait(seconds: float) -> bool:
        for fd, _ in poll.poll(seconds * 1000):  # noqa: SIM110 - a generator for each wake-up costs more
            if fd != own:
                return True
        return False

    return wait


def stand_in(make_wait: Callable[[int], Wait], serve: Callable[[], float]) -> StandIn | None:
    """``make_wait`` is given the descriptor that trio waits for. None: it cannot be. A clock that is not the
    machine's own (in tests) does not go on while we wait."""
    loop = _loop()
    return None if loop is None else StandIn(loop, make_wait(loop.epoll), serve)


def _loop() -> TrioLoop | None:
    """What we look at is no part of trio's API, which tells the same (``current_statistics``) at ten times
    the cost, and its descriptor not at all. A trio that is built otherwise does without us."""
    try:
        from trio._core._run import GLOBAL_RUN_CONTEXT, SystemClock

        runner = GLOBAL_RUN_CONTEXT.runner
        if not isinstance(runner.clock, SystemClock):
            return None
        return TrioLoop(runner.io_manager._epoll.fileno(), runner.runq, runner.deadlines.next_deadline)
    except (ImportError, AttributeError):
        return None
