"""Garbage from an address nobody knows, while a call runs: what it costs, and what the call feels of it.

    python bench/flood.py [--seconds 5] [--rounds 2] [--rate 50000] [--kind random] [--json]

A call of six (each sends 50 audio and 60 video packets a second, receives three voices and four videos). A
process of its own sends ``--rate`` datagrams of 200 bytes a second:

random   bytes by chance: three of four are no protocol at all, the others look like RTP or DTLS
stun     well-formed ICE checks that name nobody
dtls     the head of a handshake, and junk
srtp     RTP headers of an SSRC that is in use, and junk

at the port of one participant, at all of them in turn, and at the one port of a server that has only one.
Extra CPU is the server's while the flood runs, less what the same call costs just before and just after it.
What the kernel does for each datagram, here the flooder's CPU pays; on real networks it is that of the
network card's interrupts. Latency is from the sending of a call's packet to its arrival.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.synchronize
import os
import socket
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from forward import begin
from traffic import conversation

from server import Server
from sft.webrtc import stun
from sft_load.fleet import Fleet
from sft_load.histogram import Histogram
from sft_load.meter import Meter, objection

CPU_AIM = 0.15
"""Cores."""

LATENCY_AIM = 0.020
SHAPE = conversation(6, speakers=3, videos=4)
SIZE = 200
VARIETY = 512
BURST_SECONDS = 0.001
WARM_UP_SECONDS = 2.0
KINDS = ("random", "stun", "dtls", "srtp")
TARGETS = ("one port", "all ports", "shared port")


def write_garbage(kind: str, ssrc: int) -> list[bytes]:
    """``VARIETY`` different datagrams."""
    writers: dict[str, Callable[[int], bytes]] = {
        "random": lambda number: os.urandom(SIZE),
        "stun": lambda number: _check(os.urandom(8).hex()),
        "dtls": lambda number: b"\x16\xfe\xfd" + os.urandom(SIZE - 3),
        "srtp": lambda number: (
            b"\x80\x6f" + number.to_bytes(2) + os.urandom(4) + ssrc.to_bytes(4) + os.urandom(SIZE - 12)
        ),
    }
    return [writers[kind](number) for number in range(VARIETY)]


def _check(ufrag: str) -> bytes:
    name = (stun.USERNAME, f"{ufrag}:nobody".encode())
    return stun.write(stun.Kind.REQUEST, stun.BINDING, os.urandom(12), [name], b"not the password")


class Flood:
    """A process that sends while :meth:`start` has been called and :meth:`stop` has not."""

    def __init__(self, datagrams: list[bytes], targets: list[tuple[str, int]], rate: int) -> None:
        self._go = multiprocessing.Event()
        self._end = multiprocessing.Event()
        self._sent = multiprocessing.Value("q", 0)
        arguments = (datagrams, targets, rate, self._go, self._end, self._sent)
        self._process = multiprocessing.Process(target=_send, args=arguments)
        self._process.start()

    @property
    def sent(self) -> int:
        count: int = self._sent.value
        return count

    def start(self) -> None:
        self._go.set()

    def stop(self) -> None:
        self._go.clear()

    def close(self) -> None:
        self._end.set()
        self._go.set()
        self._process.join()


def _send(
    datagrams: list[bytes],
    targets: list[tuple[str, int]],
    rate: int,
    go: multiprocessing.synchronize.Event,
    end: multiprocessing.synchronize.Event,
    sent: Any,
) -> None:
    sockets = []
    for target in targets:
        sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sockets[-1].connect(target)
    sends = [one.send for one in sockets]
    number = 0
    while True:
        go.wait()
        if end.is_set():
            break
        due_at_start, since = number, time.monotonic()
        while go.is_set():
            due = due_at_start + int((time.monotonic() - since) * rate)
            while number < due:
                sends[number % len(sends)](datagrams[number % VARIETY])
                number += 1
            sent.value = number
            time.sleep(BURST_SECONDS)
    for one in sockets:
        one.close()


def measure(fleet: Fleet, server: Server, flood: Flood, seconds: float) -> dict[str, float]:
    """What ``seconds`` of the call take."""
    before, latency, sent, meter = fleet.totals(), fleet.latency + Histogram(), flood.sent, Meter(server.pid)
    fleet.run_for(seconds)
    meter.stop()
    felt = fleet.latency - latency
    return {
        **meter.shares,
        "flood_per_second": (flood.sent - sent) / meter.seconds,
        "latency_p50": felt.percentile(0.5),
        "latency_p99": felt.percentile(0.99),
        "lost": fleet.totals()["lost"] - before["lost"],
    }


def attack(kind: str, target: str, seconds: float, rate: int) -> dict[str, Any]:
    """One server, one call, one flood; the call alone is measured before and after."""
    with Server(SHAPE.participants + 10, shared=target == "shared port") as server:
        fleet = Fleet(server.url)
        clients = fleet.gather(SHAPE.participants)
        fleet.start_media(begin(SHAPE, clients))
        ports = [client.server_address for client in clients]
        targets = ports if target == "all ports" else ports[:1]
        flood = Flood(write_garbage(kind, clients[0].media.ssrc_audio), targets, rate)
        fleet.run_for(WARM_UP_SECONDS)
        before = measure(fleet, server, flood, seconds)
        flood.start()
        during = measure(fleet, server, flood, seconds)
        flood.stop()
        fleet.run_for(0.2)
        after = measure(fleet, server, flood, seconds)
        fleet.stop_media()
        fleet.run_for(0.2)
        flood.close()
        drops = {reason: count for reason, count in server.drops().items() if reason != "rtp_silent"}
        fleet.close()
    alone = (before["server_cpu_share"] + after["server_cpu_share"]) / 2
    extra = during["server_cpu_share"] - alone
    return {
        "alone_cores": alone,
        "extra_cores": extra,
        "extra_us_per_datagram": extra / max(1.0, during["flood_per_second"]) * 1e6,
        "flood_per_second": during["flood_per_second"],
        "latency_p50": during["latency_p50"],
        "latency_p99": during["latency_p99"],
        "latency_p99_alone": max(before["latency_p99"], after["latency_p99"]),
        "lost": during["lost"],
        "client_cpu_share": during["client_cpu_share"],
        "others_cpu_share": max(before["others_cpu_share"], after["others_cpu_share"]),
        "drops": drops,
    }


def compare(kind: str, target: str, options: argparse.Namespace) -> dict[str, Any]:
    """The same attack several times."""
    runs = [attack(kind, target, options.seconds, options.rate) for _ in range(options.rounds)]
    middle = {key: median(run[key] for run in runs) for key in runs[0] if key != "drops"}
    return {
        "kind": kind,
        "target": target,
        **{key: round(value, 4) for key, value in middle.items()},
        "drops": [run["drops"] for run in runs],
        "verdict": objection(middle["client_cpu_share"], middle["others_cpu_share"])
        or verdict(middle, options),
    }


def verdict(run: dict[str, float], options: argparse.Namespace) -> str:
    if run["flood_per_second"] < 0.9 * options.rate:
        return f"none: only {run['flood_per_second']:.0f} a second were sent"
    good = run["extra_cores"] <= CPU_AIM and run["latency_p99"] <= LATENCY_AIM
    return f"{'reached' if good else 'missed'}: aim {CPU_AIM} cores, p99 {LATENCY_AIM * 1e3:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=int, default=50_000, help="datagrams a second")
    parser.add_argument("--kind", choices=(*KINDS, "all"), default="all")
    parser.add_argument("--target", choices=(*TARGETS, "all"), default="all")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    kinds = KINDS if options.kind == "all" else (options.kind,)
    targets = TARGETS if options.target == "all" else (options.target,)
    results = [compare(kind, target, options) for kind in kinds for target in targets]
    print(json.dumps(results) if options.json else json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
