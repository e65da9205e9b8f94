"""Built-in plugin ``placement``: a new call goes to the least loaded worker."""

from __future__ import annotations

from collections.abc import Sequence

from sft import hookimpl
from sft.model import WorkerLoad
from sft.plugin.values import PlacementRequest

LATE = 0.05
"""Seconds of loop lag from which a worker is too busy for another call if there is another worker."""

PACKETS_PER_PARTICIPANT = 300
"""Per second; what a participant that just joined is about to add to a load that does not show it yet."""


def least_loaded(workers: Sequence[WorkerLoad]) -> int:
    """With a free port before without, in time before late, then the fewest packets to come."""

    def cost(load: WorkerLoad) -> tuple[bool, bool, float, int, int]:
        expected = max(load.packets_per_second, load.participants * PACKETS_PER_PARTICIPANT)
        return load.free_ports == 0, load.loop_lag > LATE, expected, load.calls, load.worker

    return min(workers, key=cost).worker


@hookimpl
def sft_place_call(request: PlacementRequest, workers: Sequence[WorkerLoad]) -> int:
    return least_loaded(workers)
