"""A worker's services without a worker, and a ``receive`` without a peer."""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable
from typing import Literal

import attrs

from sft.model import Address, Drops
from sft.plugin.interfaces import Base, Receive

PATIENCE = 5.0
"""Seconds after which something that should happen counts as not happening."""


class FakeServices:
    """A worker's services, driven by hand: :meth:`poll` is one turn of the worker's loop.

    Implements :class:`sft.plugin.Services`. ``logged`` and ``warned`` collect the log lines; ``routes``
    says whose a first datagram is (``route_untrusted``).
    """

    role: Literal["worker"] = "worker"

    def __init__(self, worker: int = 0, workers: int = 1) -> None:
        self.worker = worker
        self.workers = workers
        self.drops = Drops()
        self.logged: list[tuple[str, dict[str, object]]] = []
        self.warned: list[tuple[str, dict[str, object]]] = []
        self.routes: dict[bytes, Receive] = {}
        self.watched: dict[int, Callable[[float], None]] = {}
        self._writers: dict[int, Callable[[float], None]] = {}
        self._epoll = select.epoll()
        self._timers: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = itertools.count()
        self._ahead = 0.0

    def now(self) -> float:
        return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        """Let time pass without waiting for it; what is due is called by the next :meth:`poll`."""
        self._ahead += seconds

    def watch(
        self,
        fd: int,
        on_readable: Callable[[float], None],
        on_writable: Callable[[float], None] | None = None,
    ) -> None:
        self._epoll.register(fd, select.EPOLLIN)
        self.watched[fd] = on_readable
        if on_writable is not None:
            self._writers[fd] = on_writable

    def want_write(self, fd: int, wanted: bool) -> None:
        assert fd in self._writers, "want_write without on_writable, or of what is not watched"
        self._epoll.modify(fd, select.EPOLLIN | select.EPOLLOUT if wanted else select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        self._epoll.unregister(fd)  # raises OSError if the descriptor was closed before
        del self.watched[fd]
        self._writers.pop(fd, None)

    def call_at(self, when: float, callback: Callable[[float], None]) -> object:
        heapq.heappush(self._timers, (when, next(self._count), callback))
        return callback

    def route_untrusted(self, first: bytes) -> Receive | None:
        return self.routes.get(first)

    def log(self, event: str, **fields: object) -> None:
        self.logged.append((event, fields))

    def warn(self, event: str, **fields: object) -> None:
        self.warned.append((event, fields))

    def poll(self, timeout: float = 0.0) -> int:
        """Wait at most ``timeout`` seconds; call what is readable, writable or due. Gives how many calls
        that were."""
        if self._timers:
            timeout = max(0.0, min(timeout, self._timers[0][0] - self.now()))
        calls = 0
        for fd, events in self._epoll.poll(timeout):
            # An earlier call of this round may have closed it.
            if events & select.EPOLLOUT and fd in self._writers:
                self._writers[fd](self.now())
                calls += 1
            if events != select.EPOLLOUT and fd in self.watched:
                self.watched[fd](self.now())
                calls += 1
        now = self.now()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2](now)
            calls += 1
        return calls

    def poll_until(self, happened: Callable[[], object], what: str) -> None:
        """Turn the loop until ``happened()``; ``AssertionError`` naming ``what`` if it takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, f"did not happen within {PATIENCE} s: {what}"
            self.poll(0.05)

    def close(self) -> None:
        self._epoll.close()


@attrs.define(eq=False)
class Received:
    """A ``receive`` for transports that keeps what comes, and takes each datagram for the peer's own
    unless ``accepts`` is false."""

    datagrams: list[tuple[Base, bytes, Address]] = attrs.field(factory=list)
    accepts: bool = True

    def __call__(self, base: Base, data: bytes, address: Address, now: float) -> bool:
        self.datagrams.append((base, data, address))
        return self.accepts

    @property
    def payloads(self) -> list[bytes]:
        return [data for _, data, _ in self.datagrams]
