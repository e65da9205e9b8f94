"""How many joins a second: a number of them under way at any time, each as fast as it goes."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from functools import partial
from statistics import median, quantiles
from typing import Any

from sft_load.client import Client
from sft_load.fleet import Fleet
from sft_load.meter import Meter


def join_all(fleet: Fleet, clients: Sequence[Client], under_way: int) -> None:
    """Until every data channel is open. LoadError: one could not join."""
    waiting = deque(clients)
    joining: list[Client] = []
    while waiting or joining:
        while waiting and len(joining) < under_way:
            joining.append(waiting.popleft())
            joining[-1].join(time.monotonic())
        fleet.run_until(partial(_one_open, joining), "join")
        joining = [client for client in joining if not client.open_at]


def measure_joins(
    fleet: Fleet, clients: Sequence[Client], under_way: int, server_pid: int | None = None
) -> dict[str, Any]:
    """Until all have joined and have the approvals of all others in their calls. ``server_pid``: the server
    runs on this machine, so its CPU is known."""
    calls = Counter(client.call for client in clients)
    meter, started = Meter(server_pid), time.monotonic()
    join_all(fleet, clients, under_way)
    wall = time.monotonic() - started
    fleet.run_until(lambda: all(len(one.known) == calls[one.call] - 1 for one in clients), "approve", 60.0)
    meter.stop()
    times = [client.open_at - client.asked_at for client in clients]
    result: dict[str, Any] = {
        "joins": len(clients),
        "joins_per_second_wall": len(clients) / wall,
        "client_ms_per_join": meter.clients / len(clients) * 1e3,
        **meter.shares,
        "seconds_to_open_median": median(times),
        "seconds_to_open_p95": quantiles(times, n=20)[-1],
        "verdict": meter.objection or "measured",
    }
    if meter.server:
        result["joins_per_second_of_server_cpu"] = len(clients) / meter.server
        result["server_ms_per_join"] = meter.server / len(clients) * 1e3
    return result


def _one_open(clients: Sequence[Client]) -> bool:
    return any(client.open_at for client in clients)
