"""CPU of the transports alone, per packet in and per packet out.

    python bench/transports.py [--seconds 5] [--rounds 2] [--peers 30] [--rate 6000] [--json]

UDP and TCP, a port per peer and one port for all, in turn: four transports, ``--rounds`` times. Each runs
on the worker's own pump. ``--peers`` clients in a process of their own first send ``--rate`` packets a
second together, of 1100 bytes; then as many go to them. CPU is this process's (``time.process_time``), less
what as long a silence costs. No SRTP, no ICE: that is bench/forward.py. There is no verdict, but its
reason, if packets were lost, the clients were short of CPU or other programs used the machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import select
import socket
import struct
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import attrs
import trio
from verdicts import too_busy

from sft.calls.timers import TimerHeap
from sft.model import Address, Candidate, Drops
from sft.plugin import Base, BindAddress, Receive, Services, TransportFactory
from sft.server.pump import Pump
from sft.server.services import WorkerServices
from sft_load.meter import Meter
from sft_transport_tcp.config import TcpConfig
from sft_transport_tcp.factory import TcpFactory
from sft_transport_tcp.shared import SharedTcpFactory
from sft_transport_udp.config import UdpConfig
from sft_transport_udp.factory import UdpFactory
from sft_transport_udp.shared import SharedUdpFactory

SIZE = 1100
PACE_SECONDS = 0.005
"""Packets leave in bursts this far apart, as media does."""

LENGTH = struct.Struct("!H")
LOOPBACK = (BindAddress("127.0.0.1"),)
PACKET = b"\x80" * SIZE


class BenchServices(WorkerServices):
    """A worker's services; whose a first datagram is, it says itself."""

    def __init__(self, pump: Pump, timers: TimerHeap) -> None:
        super().__init__(0, 1, pump, timers, Drops())
        self.firsts: dict[bytes, Receive] = {}

    def route_untrusted(self, first: bytes) -> Receive | None:
        return self.firsts.get(first)


class Peer:
    """Counts what comes; where from is where packets go to."""

    def __init__(self) -> None:
        self.first = b"\0\1\0\0\x21\x12\xa4\x42" + os.urandom(12)  # a STUN header
        self.path: tuple[Base, Address] | None = None
        self.connected = trio.Event()
        self.packets = 0

    def receive(self, base: Base, data: bytes, address: Address, now: float) -> bool:
        if data == self.first:
            self.path = base, address
            self.connected.set()
            return True
        self.packets += 1
        return False


def _ports(count: int) -> str:
    first = random.randrange(10000, 32000 - 2 * count)
    return f"{first}-{first + 2 * count - 1}"


@attrs.frozen
class Kind:
    name: str
    make: Callable[[int, Services], TransportFactory]


KINDS = (
    Kind("udp range", lambda n, s: UdpFactory(UdpConfig(ports=_ports(n), addresses=LOOPBACK), s)),
    Kind(
        "udp single port",
        lambda n, s: SharedUdpFactory(
            UdpConfig(ports=_ports(1), shared=True, addresses=LOOPBACK, receive_buffer=1 << 22), s
        ),
    ),
    Kind(
        "tcp range", lambda n, s: TcpFactory(TcpConfig(ports=_ports(n), shared=False, addresses=LOOPBACK), s)
    ),
    Kind("tcp single port", lambda n, s: SharedTcpFactory(TcpConfig(ports=_ports(1), addresses=LOOPBACK), s)),
)


async def measure(kind: Kind, options: argparse.Namespace) -> dict[str, float]:
    """Microseconds of CPU per packet in and out of one kind of transport."""
    timers = TimerHeap()
    pump = Pump(timers, _fail)
    services = BenchServices(pump, timers)
    factory = kind.make(options.peers, services)
    peers = [Peer() for _ in range(options.peers)]
    candidates = []
    for peer in peers:
        receive = peer.receive
        services.firsts[peer.first] = receive
        candidates.append(factory.open(receive).candidates[0])
    parent, child = multiprocessing.Pipe()
    received = multiprocessing.Value("q", 0)
    arguments = (child, candidates, [peer.first for peer in peers], options.rate, options.seconds, received)
    clients = multiprocessing.Process(target=_clients, args=arguments)
    clients.start()
    total = int(options.rate * options.seconds)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump.run)
            with trio.fail_after(20):
                for peer in peers:
                    await peer.connected.wait()
            meter = Meter(clients.pid)  # the other way round: to it we are the clients
            idle = await _cpu_of(trio.sleep, options.seconds)
            parent.send("go")
            came = await _cpu_of(trio.sleep, options.seconds + 0.3)
            packets_in = sum(peer.packets for peer in peers)
            paths = [peer.path for peer in peers if peer.path]
            went = await _cpu_of(_send, paths, options.rate, options.seconds)
            meter.stop()
            await trio.sleep(0.3)
            nursery.cancel_scope.cancel()
        parent.send("stop")
    finally:
        factory.close()
        pump.close()
        clients.join()
    return {
        "us_in": (came - idle) / max(1, packets_in) * 1e6,
        "us_out": (went - idle) / total * 1e6,
        "lost_in": total - packets_in,
        "lost_out": total - received.value,
        "dropped": sum(services.drops.counts.values()),
        "client_cpu_share": meter.server / meter.seconds,
        "others_cpu_share": meter.others / meter.seconds,
    }


def summary(name: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    """The middle of the runs of a kind."""
    lost = round(sum(run["lost_in"] + run["lost_out"] for run in runs))
    return {
        "name": name,
        **{key: round(median(run[key] for run in runs), 2) for key in runs[0]},
        "verdict": too_busy(runs) or (f"none: {lost} packets were lost" if lost else ""),
    }


async def _cpu_of(work: Callable[..., Any], *arguments: Any) -> float:
    started = time.process_time()
    await work(*arguments)
    return time.process_time() - started


async def _send(paths: list[tuple[Base, Address]], rate: int, seconds: float) -> None:
    """To each in turn, at the pace of media."""
    bound = [(base.send, address) for base, address in paths]
    total, sent, started = int(rate * seconds), 0, time.monotonic()
    while sent < total:
        due = min(total, int((time.monotonic() - started) * rate))
        for number in range(sent, due):
            send, address = bound[number % len(bound)]
            try:
                send(PACKET, address)
            except OSError:
                pass  # seen in what the clients received
        sent = max(sent, due)
        await trio.sleep(PACE_SECONDS)


def _fail(error: BaseException) -> None:
    raise error


def _clients(
    pipe: Any, candidates: list[Candidate], firsts: list[bytes], rate: int, seconds: float, received: Any
) -> None:
    """The far side: say who we are, send when told to, and read away all that comes."""
    stream = candidates[0].protocol == "tcp"
    sockets = []
    for candidate, first in zip(candidates, firsts, strict=True):
        kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        one = socket.socket(socket.AF_INET, kind)
        one.connect((candidate.host, candidate.port))
        one.send(_frame(first) if stream else first)
        sockets.append(one)
    epoll = select.epoll()
    for one in sockets:
        epoll.register(one.fileno(), select.EPOLLIN)
    pipe.recv()
    packet = _frame(PACKET) if stream else PACKET
    total, sent, started = int(rate * seconds), 0, time.monotonic()
    while sent < total:
        due = min(total, int((time.monotonic() - started) * rate))
        for number in range(sent, due):
            sockets[number % len(sockets)].send(packet)
        sent = max(sent, due)
        time.sleep(PACE_SECONDS)
    octets = 0
    by_fd = {one.fileno(): one for one in sockets}
    while not pipe.poll():
        for fd, _ in epoll.poll(0.05):
            octets += len(by_fd[fd].recv(65536))
        received.value = octets // len(packet)
    for one in sockets:
        one.close()


def _frame(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", type=int, default=30)
    parser.add_argument("--rate", type=int, default=6000, help="packets a second, all peers together")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {kind.name: [] for kind in KINDS}
    for _ in range(options.rounds):
        for kind in KINDS:
            runs[kind.name].append(trio.run(measure, kind, options))
    results = [summary(name, of_kind) for name, of_kind in runs.items()]
    print(json.dumps(results) if options.json else json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
