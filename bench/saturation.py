"""How many packets a second a worker sends before it loses some, and what that is for a whole core.

    python bench/saturation.py [--call fan|twenty|c50] [--seconds 2] [--json]

The whole server in its variants. The call of ``forward.py`` goes faster step by step until the server does
not carry a step: it loses more than 0.5 % of the packets, or leaves more than 2 % of them lying. Then it goes
on in smaller steps from the fastest that was carried. It also ends when the server's core is full.

The clients count packets by their headers, so as not to fill their own core first. Where a step is not
carried while they do, or lose packets at their own sockets, or other programs use the machine, the limit is
not the server's: what was carried until then is the least that it carries, and the verdict says why.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from forward import VARIANTS, begin, layers, lost_by_clients, measure, variants
from traffic import CALLS, Shape
from verdicts import clients_lost, missing

from server import Server
from sft_load.fleet import Fleet
from sft_load.meter import objection

FIRST = 2.0
"""Times the call's packets per second."""

STEPS = (1.25, 1.06)
"""Times the step before: first the large ones, then the small."""

LOSS = 0.005
FULL = 0.97
"""Share of a core."""

Step = dict[str, Any]
Flows = list[tuple[Callable[[], None], float]]


def climb(hold: Callable[[float], Step]) -> dict[str, Any]:
    """The fastest step that was carried. ``hold`` makes one, of so many times the call's packets; it says as
    ``objection`` why the server is not to blame if that is not carried, if so."""
    best: Step | None = None
    carried = FIRST
    for factor in STEPS:
        speed = FIRST if best is None else carried * factor
        while True:
            step = hold(speed)
            if step["lost"] > LOSS * step["received"] or missing(step):
                break
            best, carried = step, speed
            if step["server_cpu_share"] > FULL:
                return summary(best, "its core is full", best["objection"])
            speed *= factor
        if best is None or step["objection"]:
            break
    return summary(best, shortfall(step), step["objection"])


def shortfall(step: Step) -> str:
    """Of a step that was not carried: how much of what is missing, and what the server knows of it."""
    gone = max(step["lost"], step["due"] - step["received"]) / step["due"]
    drops = ", ".join(f"{count} x {reason}" for reason, count in step["drops"].items() if count)
    asked = step["due"] / step["seconds"]
    share = step["server_cpu_share"]
    return (
        f"{gone:.1%} of {asked:,.0f} packets/s missing at {share:.0%} of a core; dropped: {drops or 'none'}"
    )


def summary(best: Step | None, limit: str, reason: str) -> dict[str, Any]:
    """``limit``: why no faster step was carried; ``reason``: why that is not the server's limit."""
    if best is None:
        verdict = reason or "none: the first step was not carried"
        return {"packets_per_second": 0, "packets_per_second_per_core": 0, "limit": limit, "verdict": verdict}
    reason = reason or best["objection"]
    return {
        "packets_per_second": round(best["received"] / best["seconds"]),
        "packets_per_second_per_core": round(best["received"] / best["server_cpu"]),
        "us_per_packet_out": round(best["server_cpu"] / best["received"] * 1e6, 2),
        **{key: round(best[key], 2) for key in best if key.endswith("_share")},
        "limit": limit,
        "verdict": f"{reason}; this is the least" if reason else "",
    }


def hold(
    server: Server,
    fleet: Fleet,
    shape: Shape,
    flows: Flows,
    seconds: float,
    speed: float,
) -> Step:
    """What so many times the call's packets take."""
    fleet.start_media([(send, rate * speed) for send, rate in flows])
    fleet.run_for(0.5)
    lost, own, drops = fleet.totals()["lost"], lost_by_clients(fleet), server.drops()
    step = measure(fleet, server, seconds)
    fleet.stop_media()
    fleet.run_for(0.3)
    own = lost_by_clients(fleet) - own
    return {
        **step,
        "lost": fleet.totals()["lost"] - lost,
        "drops": {reason: count - drops.get(reason, 0) for reason, count in server.drops().items()},
        "due": step["sent"] * shape.packets_out / shape.packets_in,
        "objection": objection(step["client_cpu_share"], step["others_cpu_share"])
        or (clients_lost(own) if own else ""),
    }


def saturate(shape: Shape, seconds: float, variant: str) -> dict[str, Any]:
    """One variant of the server."""
    with Server(shape.participants + 10, **VARIANTS[variant]) as server:
        fleet = Fleet(server.url)
        clients = fleet.add(shape.participants, checked=False, rids=layers(shape))
        fleet.connect(clients)
        flows = begin(shape, clients)
        fleet.run_for(1.0)
        result = climb(partial(hold, server, fleet, shape, flows, seconds))
        fleet.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--call", choices=tuple(CALLS), default="fan")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    shape = CALLS[options.call]
    results = {variant: saturate(shape, options.seconds, variant) for variant in variants(shape)}
    result = {"call": shape.name, "variants": results}
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
