"""How many packets a second a worker sends before it loses some.

    python bench/saturation.py [--call fan|twenty|c50] [--seconds 2] [--json]

The whole server in its variants; the call of ``forward.py`` goes faster step by step until more than 0.5 %
of the packets are lost or the server's core is full. The clients count packets by their headers, so that
they do not fill their own core first.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from forward import VARIANTS, begin, layers, measure, variants
from traffic import CALLS, Shape

from server import Server
from sft_load.fleet import Fleet
from sft_load.meter import objection

FIRST, STEP = 2.0, 1.25
"""Times the call's packets per second."""

LOSS = 0.005
FULL = 0.97
"""Share of a core."""


def saturate(shape: Shape, seconds: float, variant: str) -> dict[str, Any]:
    """The last step without loss."""
    best: dict[str, Any] = {"packets_per_second": 0}
    with Server(shape.participants + 10, **VARIANTS[variant]) as server:
        fleet = Fleet(server.url)
        clients = fleet.add(shape.participants, checked=False, rids=layers(shape))
        fleet.connect(clients)
        flows = begin(shape, clients)
        fleet.run_for(1.0)
        speed = FIRST
        while True:
            fleet.start_media([(send, rate * speed) for send, rate in flows])
            fleet.run_for(0.5)
            before = fleet.totals()["lost"]
            step = measure(fleet, server, seconds)
            fleet.stop_media()
            fleet.run_for(0.3)
            lost = fleet.totals()["lost"] - before
            worst = objection(step["client_cpu_share"], step["others_cpu_share"])
            if lost > LOSS * step["received"] or worst:
                return {**best, "verdict": worst or "", "full_at": round(step["server_cpu_share"], 2)}
            best = {
                "packets_per_second": round(step["received"] / seconds),
                "us_per_packet_out": round(step["server_cpu"] / step["received"] * 1e6, 2),
                "server_cpu_share": round(step["server_cpu_share"], 2),
            }
            if step["server_cpu_share"] > FULL:
                return {**best, "verdict": "", "full_at": best["server_cpu_share"]}
            speed *= STEP


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
