"""What a packet costs in calls of 10, 50 and 200 participants that send and receive equally much together.

    python bench/size.py [--seconds 5] [--rounds 2] [--json]

2000 video packets a second come in and each goes to nine others, whatever the number of participants. What
counts is the CPU of the server's process per packet it sends, less what the same call costs without media
(checks, pings, RTCP: that grows with the participants). The aim: no call is more than 15 % above the
cheapest. The sizes run in turn, ``--rounds`` times. There is no verdict where ``forward.py`` gives none.
"""

from __future__ import annotations

import argparse
import json
from statistics import median
from typing import Any

from forward import forward
from traffic import spread
from verdicts import spoilt

SIZES = (10, 50, 200)
AIM = 1.15


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    runs: dict[int, list[dict[str, Any]]] = {size: [] for size in SIZES}
    for _ in range(rounds):
        for size, results in runs.items():
            results.append(forward(spread(size), seconds))
    rows = {
        size: {
            "us_per_packet_out_net": round(median(run["us_per_packet_out_net"] for run in results), 2),
            "us_per_packet_out": round(median(run["us_per_packet_out"] for run in results), 2),
            "idle_cpu_share": round(median(run["idle_cpu_share"] for run in results), 3),
            "lost": sum(run["lost"] + run["wrong"] for run in results),
        }
        for size, results in runs.items()
    }
    net = [row["us_per_packet_out_net"] for row in rows.values()]
    ratio = max(net) / min(net)
    everything = [run for results in runs.values() for run in results]
    return {
        "sizes": rows,
        "ratio": round(ratio, 2),
        "verdict": spoilt(everything) or f"{'reached' if ratio <= AIM else 'missed'}: aim {AIM}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = measure(options.seconds, options.rounds)
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
