"""All benchmarks, one after the other, and a table of what came out: ``make bench``.

    python bench/run.py [--quick] [--json]

The machine should have nothing else to do: two cores, one for the server and one for the clients. What
the figures mean is in docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import ssl
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

LIBRARIES = ("trio", "pylibsrtp", "pyOpenSSL", "cryptography", "aiortc", "hypercorn")
QUICK = {
    "fanout": ["--seconds", "2"],
    "forward": ["--seconds", "3", "--rounds", "1"],
    "size": ["--seconds", "2", "--rounds", "1"],
    "saturation": ["--seconds", "1"],
    "transports": ["--seconds", "1", "--rounds", "1"],
    "flood": ["--seconds", "1", "--rounds", "1"],
    "joins": ["--calls", "20", "--participants", "50"],
    "memory": ["--participants", "20"],
    "capacity": ["--start", "10", "--most", "20", "--seconds", "2"],
}


def run(name: str, options: list[str]) -> Any:
    """One benchmark in a process of its own; its JSON, or what went wrong."""
    print(f"{name} ...", file=sys.stderr)
    program = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), "--json", *options]
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else {"failed": f"exit code {done.returncode}"}


def machine() -> dict[str, Any]:
    """What the figures depend on; ``load`` is the load average before the first benchmark."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "libraries": {name: version(name) for name in LIBRARIES},
        "load": round(os.getloadavg()[0], 2),
    }


def rows(results: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(what, figure, verdict)"""
    lines: list[tuple[str, str, str]] = []
    for name, result in results.items():
        if isinstance(result, dict) and "failed" in result:
            lines.append((name, "-", result["failed"]))
            continue
        match name:
            case "fanout":
                lines += [
                    (f"packet path: {one['name']}", f"{one['us_per_packet_out']} us", _times(one))
                    for one in result["runs"]
                ]
            case "forward":
                lines += [line for one in result for line in call_rows(one)]
            case "size":
                net = (f"{size}: {row['us_per_packet_out_net']}" for size, row in result["sizes"].items())
                figure = f"{', '.join(net)} us; {result['ratio']} x"
                lines.append(("net by participants", figure, result["verdict"]))
            case "saturation":
                for variant, one in result["variants"].items():
                    figure = f"{one['packets_per_second']} packets/s at {one.get('us_per_packet_out')} us"
                    lines.append((f"saturation: {result['call']}, {variant}", figure, one["verdict"]))
            case "transports":
                for one in result:
                    lost = one["lost_in"] + one["lost_out"]
                    figure = f"{one['us_in']:.2f} us in, {one['us_out']:.2f} us out"
                    lines.append((f"transport: {one['name']}", figure, f"{lost:.0f} lost" if lost else ""))
            case "flood":
                for one in result:
                    figure = f"{one['extra_cores']:.2f} cores more, p99 {one['latency_p99'] * 1e3:.1f} ms"
                    lines.append((f"flood: {one['kind']} at {one['target']}", figure, one["verdict"]))
            case "joins":
                pairs, call = result["pairs"], result["one"]
                rate = pairs["joins_per_second_of_server_cpu"]
                lines.append(("joins into calls of two", f"{rate:.0f} per second of CPU", pairs["verdict"]))
                figure = (
                    f"{call['seconds_until_all_approved']:.1f} s, lag p99 {call['loop_lag_p99'] * 1e3:.0f} ms"
                )
                lines.append((f"{call['participants']} joins into one call", figure, call["verdict"]))
            case "capacity":
                full = result["participants_at_70_percent"]
                figure = f"{full or '-'} participants at 70 % of a core, {result['holds']} held"
                lines.append(("standard load (C50)", figure, result["verdict"]))
                if half := result["half"]:
                    figure = f"p50 {half['latency_p50_ms']:.1f} ms, p99 {half['latency_p99_ms']:.1f} ms"
                    lines.append((f"latency added, {half['participants']} participants", figure, ""))
            case "memory":
                figure = (
                    f"{result['idle_kb_per_participant']} kB idle, "
                    f"{result['full_rings_kb_per_participant']} kB with full rings"
                )
                lines.append((f"memory per participant, base {result['base_mb']} MB", figure, ""))
    return lines


def _times(result: dict[str, Any]) -> str:
    return ", ".join(f"{value} x {key[6:]}" for key, value in result.items() if key.startswith("times "))


def call_rows(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    """A call of ``forward.py``: floors, then each variant of the server."""
    call = result["call"]
    floors = f"{result['floor_c']:.2f} us in C, {result['floor_direct']:.2f} us in Python"
    lines = [(f"floor: {call}", f"{floors}; {result['participants_per_core']} participants per core", "")]
    for variant, one in result["variants"].items():
        spread = "-".join(map(str, one["ratio_spread"]))
        figure = (
            f"{one['us_per_packet_out']:.2f} us, {one['ratio']} x C floor ({spread}); "
            f"{one['participants_per_core']} participants per core"
        )
        lines.append((f"server: {call}, {variant}", figure, one["verdict"]))
    return lines


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short runs: whether it works, not how well")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    surroundings = machine()
    results = {name: run(name, words if options.quick else []) for name, words in QUICK.items()}
    if options.json:
        print(json.dumps({"machine": surroundings, "results": results}))
        return
    print(json.dumps(surroundings))
    table = rows(results)
    widths = [max(len(row[column]) for row in table) for column in (0, 1)]
    for what, figure, verdict in table:
        print(f"{what:<{widths[0]}}  {figure:<{widths[1]}}  {verdict}".rstrip())


if __name__ == "__main__":
    main()
