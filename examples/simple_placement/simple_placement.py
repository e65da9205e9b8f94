"""The worker with the fewest calls takes the next one."""

from __future__ import annotations

from collections.abc import Sequence

from sft import hookimpl
from sft.plugin import WorkerLoad


@hookimpl
def sft_place_call(workers: Sequence[WorkerLoad]) -> int:
    return min(workers, key=lambda load: (load.calls, load.worker)).worker
