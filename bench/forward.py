"""The real server forwarding media, against the floor.

    python bench/forward.py [--seconds 10] [--rounds 2] [--call fan|twenty|both] [--json] [--profile FILE]

Two calls, AES-128-GCM, everybody connected by ICE, DTLS and data channel, and approved by all:

fan      one participant sends 300 video packets a second of 1100 bytes to 30 others
twenty   20 participants, each sends 50 audio and 60 video packets a second; five of them speak; each
         receives the speakers and four videos

Floor and server run in turn, ``--rounds`` times, in the same minute on the same machine. What counts is CPU
time of the server's process per packet it sends; "net" is less what the same call costs without media
(checks, pings, RTCP). The clients are this process. Lost packets are reported; if the clients were short
of CPU, or other programs used the machine, there is no verdict.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import attrs

from server import Server
from sft_load.client import Client
from sft_load.fleet import Fleet, Flow
from sft_load.media import LOUD, SILENT
from sft_load.meter import Meter, objection

AIM = 1.5
"""Times the floor, gross."""

WARM_UP_SECONDS = 2.0
SIZE = 1100  # bytes of a video packet
SPEAKERS = 5


@attrs.frozen
class Scenario:
    """A call, and the floor it is compared with: as many packets in, as many out for each."""

    name: str
    participants: int
    begin: Callable[[list[Client]], list[Flow]]
    floor_receivers: int
    floor_rate: int
    floor_size: int


def _fan(clients: list[Client]) -> list[Flow]:
    sender, receivers = clients[0], clients[1:]
    sender.start_video(SIZE, per_frame=10)
    for receiver in receivers:
        receiver.watch([sender.user], time.monotonic())
    return [Flow(sender.send_video, 300)]


def _twenty(clients: list[Client]) -> list[Flow]:
    for index, client in enumerate(clients):
        client.start_audio(LOUD if index < SPEAKERS else SILENT)
        client.start_video(SIZE, per_frame=2)
        neighbours = [clients[(index + step) % len(clients)].user for step in range(1, 5)]
        client.watch(neighbours, time.monotonic())
    return [Flow(c.send_audio, 50) for c in clients] + [Flow(c.send_video, 60) for c in clients]


SCENARIOS = {
    "fan": Scenario("fan", 31, _fan, 30, 300, SIZE),
    # In: 20 x 110. Out: 20 x 4 x 60 video, 5 x 19 x 50 audio; that is 4.3 for each and 610 bytes on average.
    "twenty": Scenario("twenty", 20, _twenty, 4, 2200, 610),
}


def floor(scenario: Scenario, seconds: float, srtp: str) -> float:
    """Microseconds per packet out."""
    options = {
        "--receivers": scenario.floor_receivers,
        "--rate": scenario.floor_rate,
        "--size": scenario.floor_size,
        "--seconds": seconds,
        "--srtp": srtp,
    }
    program = [sys.executable, str(Path(__file__).with_name("floor.py")), "--json"]
    words = [str(word) for option in options.items() for word in option]
    result = json.loads(subprocess.run(program + words, check=True, capture_output=True).stdout)
    if result["received"] != result["packets_out"]:
        print(f"the floor lost {result['packets_out'] - result['received']} packets", file=sys.stderr)
    return float(result["us_per_packet_out"])


def forward(scenario: Scenario, seconds: float, profile: Path | None = None) -> dict[str, Any]:
    """One run of the server: first the silent call, then with media."""
    with Server(scenario.participants + 10, profile) as server:
        fleet = Fleet(server.address)
        clients = fleet.gather(scenario.participants)
        flows = scenario.begin(clients)
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


def compare(scenario: Scenario, seconds: float, rounds: int) -> dict[str, Any]:
    """Floors and server in turn."""
    runs: list[dict[str, Any]] = []
    for _ in range(rounds):
        floors = {f"floor_{srtp}": floor(scenario, seconds, srtp) for srtp in ("direct", "session")}
        runs.append({**floors, **forward(scenario, seconds)})
    middle = {key: median(run[key] for run in runs) for key in runs[0] if key != "drops"}
    ratios = [run["us_per_packet_out"] / run["floor_direct"] for run in runs]
    lost, wrong = sum(run["lost"] for run in runs), sum(run["wrong"] for run in runs)
    clean = not lost and not wrong
    return {
        "call": scenario.name,
        **{key: round(value, 3) for key, value in middle.items()},
        "lost": lost,
        "wrong": wrong,
        "drops": [run["drops"] for run in runs if run["drops"]],
        "ratio": round(median(ratios), 2),
        "ratio_spread": [round(min(ratios), 2), round(max(ratios), 2)],
        "ratio_net": round(median(r["us_per_packet_out_net"] / r["floor_direct"] for r in runs), 2),
        "ratio_to_session_floor": round(median(r["us_per_packet_out"] / r["floor_session"] for r in runs), 2),
        "verdict": objection(
            max(run["client_cpu_share"] for run in runs), max(run["others_cpu_share"] for run in runs)
        )
        or verdict(median(ratios), clean),
    }


def verdict(ratio: float, clean: bool) -> str:
    if not clean:
        return "none: packets were lost or wrong"
    return f"{'reached' if ratio <= AIM else 'missed'}: aim {AIM} times the floor"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--call", choices=(*SCENARIOS, "both"), default="both")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--profile", type=Path, help="run the server once under cProfile; its figures mean less"
    )
    options = parser.parse_args()
    chosen = [one for one in SCENARIOS.values() if options.call in (one.name, "both")]
    if options.profile:
        print(json.dumps(forward(chosen[0], options.seconds, options.profile), indent=2))
        return
    results = [compare(scenario, options.seconds, options.rounds) for scenario in chosen]
    print(json.dumps(results) if options.json else json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
