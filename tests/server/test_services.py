"""What plugins are given."""

from __future__ import annotations

import structlog
import trio.testing

from sft.calls.timers import TimerHeap
from sft.model import Drops
from sft.server.pump import Pump
from sft.server.services import WorkerServices


def fail(error: BaseException) -> None:
    raise error


async def test_what_a_plugin_says_and_what_it_warns_of_differ_in_level(
    autojump_clock: trio.testing.MockClock,
) -> None:
    timers = TimerHeap()
    pump = Pump(timers, fail)
    services = WorkerServices(0, 1, pump, timers, Drops())
    with structlog.testing.capture_logs() as lines:
        services.log("pigeon.lost", how_many=3)
        services.warn("pigeon.tired")
    assert lines == [
        {"event": "pigeon.lost", "how_many": 3, "log_level": "info"},
        {"event": "pigeon.tired", "log_level": "warning"},
    ]
    pump.close()
