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
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

Row = tuple[str, str, str]
"""What, its figure, and the verdict; if that is none, why. Empty: nothing is judged."""

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


def rows(results: dict[str, Any]) -> list[Row]:
    lines: list[Row] = []
    for name, result in results.items():
        if failed(result):
            lines.append((name, "-", result["failed"]))
        else:
            lines += ROWS[name](result)
    return lines


def failed(result: Any) -> bool:
    return isinstance(result, dict) and "failed" in result


def fanout(result: dict[str, Any]) -> Iterator[Row]:
    """Floors, and the packet path alone with each engine."""
    for one in result["runs"]:
        times = [f"{value} x {key[6:]}" for key, value in one.items() if key.startswith("times ")]
        figure = ", ".join([f"{one['us_per_packet_out']:.2f} us a packet out", *times])
        drops = ", ".join(f"{count} x {reason}" for reason, count in one.get("drops", {}).items())
        verdict = f"{one['verdict']} (dropped: {drops})" if drops else one["verdict"]
        yield f"packet path: {result['call']}, {one['name']}", figure, verdict.strip()


def forward(results: list[dict[str, Any]]) -> Iterator[Row]:
    """Of each call the floors, then each variant of the server."""
    for result in results:
        call = result["call"]
        figure = (
            f"{result['floor_c']:.2f} us a packet out in C, {result['floor_direct']:.2f} us in Python; "
            f"{result['participants_per_core']} participants at 70 % of a core"
        )
        yield f"floor: {call}", figure, result["floor_verdict"]
        for variant, one in result["variants"].items():
            spread = "-".join(map(str, one["ratio_spread"]))
            figure = (
                f"{one['us_per_packet_out']:.2f} us a packet out, {one['ratio']} x the C floor ({spread}); "
                f"{one['participants_per_core']} participants at 70 % of a core"
            )
            yield f"server: {call}, {variant}", figure, one["verdict"]


def size(result: dict[str, Any]) -> Iterator[Row]:
    net = "/".join(f"{row['us_per_packet_out_net']:.1f}" for row in result["sizes"].values())
    figure = f"{net} us net a packet out; the dearest is {result['ratio']} x the cheapest"
    yield f"server: calls of {'/'.join(result['sizes'])}", figure, result["verdict"]


def saturation(result: dict[str, Any]) -> Iterator[Row]:
    for variant, one in result["variants"].items():
        figure = (
            f"{one['packets_per_second']:,} packets/s out, {one['packets_per_second_per_core']:,} per core"
        )
        verdict = one["verdict"] and f"{one['verdict']}; "
        yield f"saturation: {result['call']}, {variant}", figure, f"{verdict}limit: {one['limit']}"


def transports(results: list[dict[str, Any]]) -> Iterator[Row]:
    for one in results:
        figure = f"{one['us_in']:.2f} us a packet in, {one['us_out']:.2f} us a packet out"
        yield f"transport: {one['name']}", figure, one["verdict"]


def flood(results: list[dict[str, Any]]) -> Iterator[Row]:
    for one in results:
        figure = (
            f"{one['extra_cores']:.2f} cores more; the call's p99 {one['latency_p99'] * 1e3:.1f} ms, "
            f"{one['lost']:.0f} packets lost"
        )
        yield f"flood: {one['kind']} at {one['target']}", figure, one["verdict"]


def joins(result: dict[str, Any]) -> Iterator[Row]:
    pairs, call = result["pairs"], result["one"]
    rate = pairs["joins_per_second_of_server_cpu"]
    yield "joins into calls of two", f"{rate:.0f} per second of server CPU", pairs["verdict"]
    seconds, lag = call["seconds_until_all_approved"], call["loop_lag_p99"] * 1e3
    figure = f"{seconds:.1f} s until all have approved all, loop lag p99 {lag:.0f} ms"
    yield f"{call['participants']} joins into one call", figure, call["verdict"]


def memory(result: dict[str, Any]) -> Iterator[Row]:
    figure = (
        f"{result['idle_kb_per_participant']} kB idle, "
        f"{result['full_rings_kb_per_participant']} kB with full rings"
    )
    yield f"memory per participant, base {result['base_mb']} MB", figure, result["verdict"]


def capacity(result: dict[str, Any]) -> Iterator[Row]:
    full = result["participants_at_70_percent"]
    reached = f"{full} participants at" if full else "never at"
    figure = f"{reached} 70 % of a core; {result['holds']} participants held"
    yield "standard load (C50)", figure, result["verdict"]
    if half := result["half"]:
        figure = f"p50 {half['latency_p50_ms']:.1f} ms, p99 {half['latency_p99_ms']:.1f} ms"
        yield f"latency added at half a core, {half['participants']} participants", figure, ""


ROWS: dict[str, Callable[[Any], Iterator[Row]]] = {
    one.__name__: one
    for one in (fanout, forward, size, saturation, transports, flood, joins, memory, capacity)
}
"""By benchmark."""


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
    else:
        print(json.dumps(surroundings))
        table = rows(results)
        widths = [max(len(row[column]) for row in table) for column in (0, 1)]
        for what, figure, verdict in table:
            print(f"{what:<{widths[0]}}  {figure:<{widths[1]}}  {verdict}".rstrip())
    if any(map(failed, results.values())):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
