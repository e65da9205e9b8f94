"""Joining: how many a second, and how long until a large call knows itself.

    python bench/joins.py [--calls 50] [--participants 200] [--json] [--profile FILE]

pairs    calls of two, eight joins under way at any time. CPU time of the server's process per join says
         how many one core can do; the wall clock has the clients in it as well
one      everybody joins one call at once. Ends when everybody has the full list, has approved
         everybody, and has the PROPSYNC of everybody: then the server has taken all approvals
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from server import Server
from sft_load.fleet import Fleet
from sft_load.joins import join_all, measure_joins
from sft_load.meter import Meter, objection

UNDER_WAY = 8
JOINS_AIM = 50.0  # a second
CALL_AIM_SECONDS = 20.0
LAG_AIM_SECONDS = 0.020


def pairs(calls: int, profile: Path | None = None) -> dict[str, Any]:
    """Joins into calls of two."""
    with Server(2 * calls + 10, profile) as server:
        fleet = Fleet(server.url)
        join_all(fleet, [client for _ in range(4) for client in fleet.add(2)], UNDER_WAY)  # imports, caches
        waiting = [client for _ in range(calls) for client in fleet.add(2)]
        server.toggle_profile()
        result = measure_joins(fleet, waiting, UNDER_WAY, server.pid)
        server.toggle_profile()
        lag = server.snapshot()["loop_lag_p99"]
        drops = server.drops()
        fleet.close()
    rate = result["joins_per_second_of_server_cpu"]
    return {
        **result,
        "loop_lag_p99": lag,
        "drops": drops,
        "verdict": objection(0.0, result["others_cpu_share"])
        or _verdict(rate >= JOINS_AIM, f"{JOINS_AIM:.0f} joins per second of CPU"),
    }


def one_call(participants: int, profile: Path | None = None) -> dict[str, Any]:
    """Joins into a single call, all at once."""
    with Server(participants + 10, profile) as server:
        fleet = Fleet(server.url)
        clients = fleet.add(participants, video_slots=9)
        server.toggle_profile()
        meter, started = Meter(server.pid), time.monotonic()
        for client in clients:
            client.join(time.monotonic())
            fleet.serve(0)
        fleet.run_until(lambda: all(client.open_at for client in clients), "join", 300)
        opened = time.monotonic() - started
        full = participants
        fleet.run_until(lambda: all(len(client.roster) == full for client in clients), "list", 300)
        listed = time.monotonic() - started
        fleet.run_until(lambda: all(len(client.known) == full - 1 for client in clients), "approve", 300)
        approved = time.monotonic() - started
        meter.stop()
        server.toggle_profile()
        snapshot = server.snapshot()
        drops = server.drops()
        fleet.close()
    lag = snapshot["loop_lag_p99"]
    in_time = approved <= CALL_AIM_SECONDS
    return {
        "participants": participants,
        "seconds_until_all_open": opened,
        "seconds_until_all_listed": listed,
        "seconds_until_all_approved": approved,
        "server_cpu": meter.server,
        "client_cpu": meter.clients,
        **meter.shares,
        "loop_lag_p99": lag,
        "drops": drops,
        "bad_at_clients": sum(client.bad for client in clients),
        "verdict": meter.objection
        or f"{_verdict(in_time, f'{CALL_AIM_SECONDS:.0f} s')}; "
        f"{_verdict(lag <= LAG_AIM_SECONDS, f'loop lag {LAG_AIM_SECONDS * 1e3:.0f} ms')}",
    }


def _verdict(good: bool, aim: str) -> str:
    return f"{'reached' if good else 'missed'}: aim {aim}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=100, help="calls of two; 0: leave this part out")
    parser.add_argument("--participants", type=int, default=200, help="of the one call; 0: leave it out")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", type=Path, help="run the server under cProfile; its figures mean less")
    options = parser.parse_args()
    results = {}
    if options.calls:
        results["pairs"] = pairs(options.calls, options.profile)
    if options.participants:
        results["one"] = one_call(options.participants, options.profile)
    print(json.dumps(results) if options.json else json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
