"""The real server forwarding media, against the floor.

    python bench/forward.py [--seconds 10] [--rounds 2] [--call fan|twenty|both] [--json] [--profile FILE]

Two calls, AES-128-GCM, everybody connected by ICE, DTLS and data channel, and approved by all:

fan      one participant sends 300 video packets a second of 1100 bytes to 30 others
twenty   20 participants, each sends 50 audio and 60 video packets a second; five of them speak; each
         receives the speakers and four videos

The floors (in C, and in Python) and the server run in turn, ``--rounds`` times, in the same minute on the
same machine. What counts is CPU time of the server's process per packet it sends; "net" is less what the
same call costs without media (checks, pings, RTCP). The clients are this process. Lost packets are
reported; if the clients were short of CPU, or other programs used the machine, there is no verdict.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from traffic import SHAPES, Shape

from server import Server
from sft_load.client import Client
from sft_load.fleet import Fleet
from sft_load.meter import Meter, objection

AIMS = {"fan": 2.2, "twenty": 2.7}
"""Times the floor in C, gross."""

WARM_UP_SECONDS = 2.0
FRAMES_PER_SECOND = 30
FLOORS = ("c", "direct")


def begin(shape: Shape, clients: list[Client]) -> list[tuple[Callable[[], None], float]]:
    """Have the clients watch what the shape says; returns what sends it, and how many times a second."""
    flows: list[tuple[Callable[[], None], float]] = []
    watched: dict[int, list[str]] = {}
    for stream in shape.streams:
        sender = clients[stream.sender]
        if stream.level is None:
            video = sender.start_video(stream.size, per_frame=max(1, stream.rate // FRAMES_PER_SECOND))
            flows.append((partial(sender.send_video, video), stream.rate))
            for receiver in stream.receivers:
                watched.setdefault(receiver, []).append(sender.user)
        else:
            sender.start_audio(stream.level)
            flows.append((sender.send_audio, stream.rate))
    for receiver, users in watched.items():
        clients[receiver].watch(users, time.monotonic())
    return flows


def measure_floor(shape: Shape, seconds: float, srtp: str) -> float:
    """Microseconds per packet out."""
    program = [sys.executable, str(Path(__file__).with_name("floor.py")), "--json"]
    program += ["--call", shape.name, "--seconds", str(seconds), "--srtp", srtp]
    result = json.loads(subprocess.run(program, check=True, capture_output=True).stdout)
    if result["lost"]:
        print(f"the floor lost {result['lost']} packets", file=sys.stderr)
    return float(result["us_per_packet_out"])


def forward(shape: Shape, seconds: float, profile: Path | None = None) -> dict[str, Any]:
    """One run of the server: first the silent call, then with media."""
    with Server(shape.participants + 10, profile) as server:
        fleet = Fleet(server.url)
        clients = fleet.gather(shape.participants)
        flows = begin(shape, clients)
        fleet.run_for(WARM_UP_SECONDS)
        idle = measure(fleet, server, seconds)
        fleet.start_media(flows)
        fleet.run_for(WARM_UP_SECONDS)
        server.toggle_profile()
        result = measure(fleet, server, seconds)
        server.toggle_profile()
        fleet.stop_media()
        fleet.run_for(0.2)
        totals = fleet.totals()
        drops = {reason: count for reason, count in server.drops().items() if reason != "rtp_silent"}
        fleet.close()
    out = max(1, result["received"])
    return {
        **result,
        "lost": totals["lost"],
        "wrong": totals["wrong"] + totals["strangers"],
        "drops": drops,
        "us_per_packet_out": result["server_cpu"] / out * 1e6,
        "us_per_packet_out_net": (result["server_cpu"] - idle["server_cpu"]) / out * 1e6,
        "idle_cpu_share": idle["server_cpu_share"],
    }


def measure(fleet: Fleet, server: Server, seconds: float) -> dict[str, float]:
    """What ``seconds`` of the fleet's life take."""
    before, meter = fleet.totals(), Meter(server.pid)
    fleet.run_for(seconds)
    after = fleet.totals()
    return {
        "server_cpu": meter.stop().server,
        **meter.shares,
        "sent": after["sent"] - before["sent"],
        "received": after["received"] - before["received"],
    }


def compare(shape: Shape, seconds: float, rounds: int) -> dict[str, Any]:
    """Floors and server in turn."""
    runs: list[dict[str, Any]] = []
    for _ in range(rounds):
        floors = {f"floor_{srtp}": measure_floor(shape, seconds, srtp) for srtp in FLOORS}
        runs.append({**floors, **forward(shape, seconds)})
    middle = {key: median(run[key] for run in runs) for key in runs[0] if key != "drops"}
    ratios = [run["us_per_packet_out"] / run["floor_c"] for run in runs]
    lost, wrong = sum(run["lost"] for run in runs), sum(run["wrong"] for run in runs)
    clean = not lost and not wrong
    return {
        "call": shape.name,
        **{key: round(value, 3) for key, value in middle.items()},
        "lost": lost,
        "wrong": wrong,
        "drops": [run["drops"] for run in runs if run["drops"]],
        "ratio": round(median(ratios), 2),
        "ratio_spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "ratio_net": round(median(r["us_per_packet_out_net"] / r["floor_c"] for r in runs), 2),
        "ratio_to_python_floor": round(median(r["us_per_packet_out"] / r["floor_direct"] for r in runs), 2),
        "verdict": objection(
            max(run["client_cpu_share"] for run in runs), max(run["others_cpu_share"] for run in runs)
        )
        or verdict(median(ratios), AIMS[shape.name], clean),
    }


def verdict(ratio: float, aim: float, clean: bool) -> str:
    if not clean:
        return "none: packets were lost or wrong"
    return f"{'reached' if ratio <= aim else 'missed'}: aim {aim} times the floor in C"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--call", choices=(*SHAPES, "both"), default="both")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--profile", type=Path, help="run the server once under cProfile; its figures mean less"
    )
    options = parser.parse_args()
    chosen = [one for one in SHAPES.values() if options.call in (one.name, "both")]
    if options.profile:
        print(json.dumps(forward(chosen[0], options.seconds, options.profile), indent=2))
        return
    results = [compare(shape, options.seconds, options.rounds) for shape in chosen]
    print(json.dumps(results) if options.json else json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
