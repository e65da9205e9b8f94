"""What the server does for plugins, in a worker and in the gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import structlog
import trio

from sft.calls.timers import Timer, TimerHeap
from sft.errors import BadPacket
from sft.model import Drops
from sft.plugin.values import InstanceSnapshot, Snapshot
from sft.server.pump import Pump
from sft.webrtc.ice import local_ufrag_untrusted

if TYPE_CHECKING:
    from sft.plugin.interfaces import Receive


class _Common:
    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._log = structlog.get_logger("plugin")

    def now(self) -> float:
        return trio.current_time()

    def log(self, event: str, **fields: object) -> None:
        self._log.info(event, **fields)

    def warn(self, event: str, **fields: object) -> None:
        self._log.warning(event, **fields)


class WorkerServices(_Common):
    """Implements :class:`sft.plugin.interfaces.Services`."""

    role: Literal["worker"] = "worker"

    def __init__(self, index: int, workers: int, pump: Pump, timers: TimerHeap, drops: Drops) -> None:
        super().__init__(workers)
        self.worker = index
        self.drops = drops
        self.routes: dict[str, Receive] = {}
        """By our ICE user name fragment: who receives what comes for that peer."""
        self._pump = pump
        self._timers = timers

    def watch(
        self,
        fd: int,
        on_readable: Callable[[float], None],
        on_writable: Callable[[float], None] | None = None,
    ) -> None:
        self._pump.watch(fd, on_readable, on_writable)

    def want_write(self, fd: int, wanted: bool) -> None:
        self._pump.want_write(fd, wanted)

    def unwatch(self, fd: int) -> None:
        self._pump.unwatch(fd)

    def call_at(self, when: float, callback: Callable[[float], None]) -> Timer:
        return self._timers.call_at(when, callback)

    def route_untrusted(self, first: bytes) -> Receive | None:
        try:
            return self.routes.get(local_ufrag_untrusted(first))
        except BadPacket:
            return None


class InstanceServices(_Common):
    """Implements :class:`sft.plugin.interfaces.GatewayServices`."""

    role: Literal["gateway"] = "gateway"

    def __init__(
        self,
        workers: int,
        snapshots: Callable[[], Sequence[Snapshot]],
        instance: Callable[[], InstanceSnapshot],
    ) -> None:
        super().__init__(workers)
        self._snapshots = snapshots
        self._instance = instance

    def snapshots(self) -> Sequence[Snapshot]:
        return self._snapshots()

    def instance(self) -> InstanceSnapshot:
        return self._instance()
