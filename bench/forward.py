"""The real server forwarding media, against the floor.

    python bench/forward.py [--seconds 5] [--rounds 2] [--call fan|twenty|c50|all] [--json] [--profile FILE]

Three calls, AES-128-GCM, everybody connected by ICE, DTLS and data channel, and approved by all:

fan      one participant sends 300 video packets a second of 1100 bytes to 30 others
twenty   20 participants, each sends 50 audio and 60 video packets a second; five of them speak; each
         receives the speakers and four videos
c50      50 participants, each sends 25 audio packets a second and video in two layers, 60 and 150 packets of
         1000 bytes; each receives the speakers and nine low layers: 665 packets out, 235 in

The floors (in C, and in Python) and the server, with the Python engine and with the native one if it is
compiled, run in turn, ``--rounds`` times, in the same minutes on the same machine. What counts is CPU time
of the server's process per packet it sends; "net" is less what the same call costs without media (checks,
pings, RTCP). The clients are this process. There is no verdict, but its reason, if the clients of the server
or of a floor were short of CPU or other programs used the machine, if a packet was lost or wrong, or if not
as many came as the call has.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from traffic import CALLS, Shape
from verdicts import spoilt

from server import Server
from sft_load.client import Client
from sft_load.fleet import Fleet
from sft_load.messages import HIGH, LOW
from sft_load.meter import Meter

AIMS = {"fan": 2.2, "twenty": 2.7}
"""Times the floor in C, gross."""

WARM_UP_SECONDS = 2.0
FRAMES_PER_SECOND = 30
FLOORS = ("c", "direct")
VARIANTS: dict[str, dict[str, Any]] = {
    "python": {},
    "native": {"modules": ["sft_engine_native"]},
    "native, no segments": {"modules": ["sft_engine_native"], "segments": False},
    "native, one port": {"modules": ["sft_engine_native"], "shared": True},
}
"""The server as it comes, and otherwise: arguments of :class:`server.Server`."""

LOAD = 0.7
"""Share of a core at which ``participants_per_core`` is given."""


def begin(shape: Shape, clients: list[Client]) -> list[tuple[Callable[[], None], float]]:
    """Have the clients watch what the shape says; returns what sends it, and how many times a second."""
    flows: list[tuple[Callable[[], None], float]] = []
    watched: dict[int, list[str]] = {}
    for stream in shape.streams:
        sender = clients[stream.sender]
        if stream.level is None:
            per_frame = max(1, stream.rate // FRAMES_PER_SECOND)
            video = sender.media.start_video(stream.size, per_frame, stream.layer)
            flows.append((partial(sender.media.send_video, video), stream.rate))
            for receiver in stream.receivers:
                watched.setdefault(receiver, []).append(sender.user)
        else:
            sender.media.start_audio(stream.level)
            flows.append((sender.media.send_audio, stream.rate))
    for receiver, users in watched.items():
        quality = LOW if layers(shape) else HIGH
        clients[receiver].watch(users, time.monotonic(), [quality] * len(users))
    return flows


def layers(shape: Shape) -> list[str]:
    """Names of the layers that everybody sends."""
    return sorted({stream.layer for stream in shape.streams if stream.layer})


def variants(shape: Shape) -> list[str]:
    """Those that can be (the native engine has to be compiled), all of them for the standard load only."""
    found = [name for name, more in VARIANTS.items() if all(map(find_spec, more.get("modules", ())))]
    return found if shape.name == "c50" else [name for name in found if "," not in name]


def measure_floor(shape: Shape, seconds: float, srtp: str) -> dict[str, Any]:
    """The report of ``floor.py``."""
    program = [sys.executable, str(Path(__file__).with_name("floor.py")), "--json"]
    program += ["--call", shape.name, "--seconds", str(seconds), "--srtp", srtp]
    report: dict[str, Any] = json.loads(subprocess.run(program, check=True, capture_output=True).stdout)
    return report


def forward(
    shape: Shape, seconds: float, variant: str = "python", profile: Path | None = None
) -> dict[str, Any]:
    """One run of the server: first the silent call, then with media."""
    with Server(shape.participants + 10, profile, **VARIANTS[variant]) as server:
        fleet = Fleet(server.url)
        clients = fleet.gather(shape.participants, rids=layers(shape))
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
        "due": shape.packets_out * result["seconds"],
        "lost": totals["lost"],
        "wrong": totals["wrong"] + totals["strangers"],
        "drops": drops,
        "us_per_packet_out": result["server_cpu"] / out * 1e6,
        "us_per_packet_out_net": (result["server_cpu"] - idle["server_cpu"]) / out * 1e6,
        "idle_cpu_share": idle["server_cpu_share"],
    }


def measure(fleet: Fleet, server: Server, seconds: float) -> dict[str, float]:
    """What ``seconds`` of the fleet's life take."""
    before, own, meter = fleet.totals(), lost_by_clients(fleet), Meter(server.pid)
    fleet.run_for(seconds)
    meter.stop()
    after = fleet.totals()
    return {
        "seconds": meter.seconds,
        "server_cpu": meter.server,
        **meter.shares,
        "client_lost": lost_by_clients(fleet) - own,
        "sent": after["sent"] - before["sent"],
        "received": after["received"] - before["received"],
    }


def lost_by_clients(fleet: Fleet) -> int:
    """Packets that their own sockets did not take, or that they did not read in time."""
    return fleet.unsent + fleet.kernel_drops + sum(client.drops() for client in fleet.clients)


def compare(shape: Shape, seconds: float, rounds: int) -> dict[str, Any]:
    """Floors and server, in all its variants, in turn."""
    floors: dict[str, list[dict[str, Any]]] = {srtp: [] for srtp in FLOORS}
    runs: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants(shape)}
    for _ in range(rounds):
        for srtp, reports in floors.items():
            reports.append(measure_floor(shape, seconds, srtp))
        for variant, results in runs.items():
            results.append(forward(shape, seconds, variant))
    middle = {srtp: median(map(_cost, reports)) for srtp, reports in floors.items()}
    return {
        "call": shape.name,
        **{f"floor_{srtp}": round(figure, 3) for srtp, figure in middle.items()},
        "floor_verdict": spoilt([report for reports in floors.values() for report in reports]) or "",
        "participants_per_core": per_core(shape, middle["c"] * shape.packets_out / 1e6),
        "variants": {variant: judge(shape, floors, results) for variant, results in runs.items()},
    }


def _cost(run: dict[str, Any]) -> float:
    return float(run["us_per_packet_out"])


def judge(
    shape: Shape, floors: dict[str, list[dict[str, Any]]], runs: list[dict[str, Any]]
) -> dict[str, Any]:
    """The middle of a variant's runs, and what they are times the floors of their rounds."""

    def ratios(srtp: str, key: str = "us_per_packet_out") -> list[float]:
        return [run[key] / _cost(floor) for run, floor in zip(runs, floors[srtp], strict=True)]

    middle = {key: round(median(run[key] for run in runs), 3) for key in runs[0] if key != "drops"}
    ratio = median(ratios("c"))
    return {
        **middle,
        "lost": sum(run["lost"] for run in runs),
        "wrong": sum(run["wrong"] for run in runs),
        "drops": [run["drops"] for run in runs if run["drops"]],
        "ratio": round(ratio, 2),
        "ratio_spread": [round(min(ratios("c")), 2), round(max(ratios("c")), 2)],
        "ratio_net": round(median(ratios("c", "us_per_packet_out_net")), 2),
        "ratio_to_python_floor": round(median(ratios("direct")), 2),
        "participants_per_core": per_core(shape, middle["server_cpu_share"]),
        "verdict": spoilt([*floors["c"], *runs]) or verdict(ratio, AIMS.get(shape.name)),
    }


def per_core(shape: Shape, share: float) -> int:
    """Participants that load a core to ``LOAD``, if this call takes ``share`` of one."""
    return round(LOAD * shape.participants / share)


def verdict(ratio: float, aim: float | None) -> str:
    if aim is None:
        return ""
    return f"{'reached' if ratio <= aim else 'missed'}: aim {aim} times the floor in C"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--call", choices=(*CALLS, "all"), default="all")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--profile", type=Path, help="run the server once under cProfile; its figures mean less"
    )
    options = parser.parse_args()
    chosen = [one for one in CALLS.values() if options.call in (one.name, "all")]
    if options.profile:
        print(json.dumps(forward(chosen[0], options.seconds, profile=options.profile), indent=2))
        return
    results = [compare(shape, options.seconds, options.rounds) for shape in chosen]
    print(json.dumps(results) if options.json else json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
