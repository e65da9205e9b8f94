"""What the operator tells an instance by signals (protocol section 1.8)."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import AsyncIterator, Callable

import trio

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Orders:
    """SIGINT stops; SIGTERM drains, and stops when it comes again; SIGHUP has files read anew."""

    def __init__(self) -> None:
        self.told = trio.Event()
        """To end, in whichever way."""
        self.stop = trio.Event()
        """To end at once."""
        self.on_told: Callable[[], None] = lambda: None
        self._reload, self.reloads = trio.open_memory_channel[None](1)

    async def hear(self, signals: AsyncIterator[int]) -> None:
        """Never returns."""
        async for number in signals:
            if number == signal.SIGHUP:
                with contextlib.suppress(trio.WouldBlock):  # there is one to be obeyed yet
                    self._reload.send_nowait(None)
                continue
            if number == signal.SIGINT or self.told.is_set():
                self.stop.set()
            self.told.set()
            self.on_told()
