"""The newest snapshot of each worker, for plugins of the gateway."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from sft.plugin.manager import PluginManager
from sft.plugin.values import Snapshot
from sft.server.gateway import Gateway


class SnapshotFeed:
    """Asks all workers every ``seconds`` and tells plugins (``sft_snapshot``)."""

    def __init__(self, seconds: float, gateway: Gateway, manager: PluginManager) -> None:
        self._seconds = seconds
        self._gateway = gateway
        self._manager = manager
        self.newest: Sequence[Snapshot] = ()
        """By the worker's index; of workers that live."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled; started when there is a first snapshot of each."""
        self.newest = await self._gateway.snapshots()
        task_status.started()
        while True:
            await trio.sleep(self._seconds)
            self.newest = await self._gateway.snapshots()
            for snapshot in self.newest:
                self._manager.notify("sft_snapshot", snapshot=snapshot)
