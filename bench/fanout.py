"""The packet path against the floors: the same traffic, sockets and sizes, without ICE and HTTP.

    python bench/fanout.py [--call fan|twenty|c50|in] [--seconds 5] [--speed 1] [--json]

Runs the floors and the product's packet path (``sft.forwarding`` with the Python engine, and with the native
one if it is compiled; RTCP housekeeping included), one after the other in this process, and prints CPU per
packet that arrived and the ratios (with ``in``, where nothing leaves, per packet in). A high ``--speed``
shows what a core can do when it is never idle. There is no verdict, but its reason, if packets were lost, the
clients were short of CPU or other programs used the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import socket
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, cast

from floor import floor
from traffic import FIRST_SSRC, KEY, Traffic, arguments, chosen

from sft.forwarding.endpoint import Endpoint
from sft.forwarding.engine import PythonEngine
from sft.forwarding.loop import receive
from sft.forwarding.table import Table
from sft.model import Drops, ParticipantId, SrtpParameters
from sft.plugin import Engine, OnReadable, Services
from sft_transport_udp.base import UdpBase

LOW, HIGH = 1, 2
QUIET_SECONDS = 1.0

MakeEngine = Callable[[Drops], Engine]
KEYS = SrtpParameters("SRTP_AEAD_AES_128_GCM", inbound=KEY, outbound=KEY)


class Call:
    """A table of the traffic's participants, in which everybody gets what the shape says."""

    def __init__(self, traffic: Traffic, make_engine: MakeEngine) -> None:
        self.drops = Drops()
        self.deadline = float("inf")
        self.engine = make_engine(self.drops)
        self.table = Table(os.urandom, lambda now: now + 1.7e9, self._wake)
        now = time.monotonic()
        shape = traffic.shape
        self.endpoints = [self._endpoint(index, now) for index in range(shape.participants)]
        for endpoint, base, address in zip(self.endpoints, traffic.bases, traffic.addresses, strict=True):
            endpoint.set_path(base, address)
        self.table.set_first(self.endpoints[0])
        watched: dict[Endpoint, list[tuple[Endpoint | None, int]]] = {
            endpoint: [] for endpoint in self.endpoints
        }
        for index, stream in enumerate(shape.streams):
            sender, ssrc = self.endpoints[stream.sender], FIRST_SSRC + index
            if stream.level is not None:
                sender.set_answer(ssrc, (), audio_nack=False, video_nack=False)
                continue
            for receiver in stream.receivers:
                watched[self.endpoints[receiver]].append((sender, LOW if stream.layer else HIGH))
        for sender in self.endpoints:
            others = frozenset(self.endpoints) - {sender}
            self.table.set_allowed(sender, others, others, now)
        for viewer, wanted in watched.items():
            self.table.set_streams(viewer, wanted, now)

    def _wake(self, when: float) -> None:
        self.deadline = min(self.deadline, when)

    def _endpoint(self, index: int, now: float) -> Endpoint:
        name = ParticipantId(f"participant {index}", "_")
        endpoint = Endpoint(name, 7 + index, 5, 9, self.engine, self.drops, os.urandom)
        self.table.add(endpoint, now)
        endpoint.open(KEYS, now)
        return endpoint


def fanout(traffic: Traffic, make_engine: MakeEngine) -> Call:
    """Forward until the traffic ends."""
    call = Call(traffic, make_engine)
    endpoints, bases, addresses = call.endpoints, traffic.bases, traffic.addresses
    for index, data, now in traffic.packets():
        receive(endpoints[index], bases[index], data, addresses[index], now)
        if now >= call.deadline:
            call.deadline = float("inf")
            call.table.tick(now)
    return call


class Watched:
    """What a :class:`ReadingEngine` reads by itself, of one worker."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.readers: dict[int, OnReadable] = {}

    def watch(self, fd: int, on_readable: OnReadable) -> None:
        self.epoll.register(fd, select.EPOLLIN)
        self.readers[fd] = on_readable


def read_by_engine(traffic: Traffic, make_engine: MakeEngine) -> Call:
    """Have the engine wait, read and forward until the traffic ends."""
    call, watched = Call(traffic, make_engine), Watched()
    engine: Any = call.engine
    for endpoint, base, address in zip(call.endpoints, traffic.bases, traffic.addresses, strict=True):
        own = UdpBase(base.socket, engine.receiver(endpoint), call.drops, {address: None})
        own.watch(cast(Services, watched))
    other, _silent = socket.socketpair()  # in place of trio's
    wait = engine.waiter(watched.epoll.fileno(), other.fileno(), watched.readers, time.monotonic, print)
    traffic.start()
    last = now = time.monotonic()
    while now < last + QUIET_SECONDS:
        wait(max(0.0, min(call.deadline - now, QUIET_SECONDS)))
        now = time.monotonic()
        if (count := sum(endpoint.packets for endpoint in call.endpoints)) > traffic.packets_in:
            traffic.packets_in, last = count, now
        if now >= call.deadline:
            call.deadline = float("inf")
            call.table.tick(now)
    return call


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments(parser)
    options = parser.parse_args()
    shape = chosen(options)
    floors = []
    for srtp in ("c", "session", "direct"):
        with Traffic(shape, options.seconds) as traffic:
            floors.append(floor(traffic, srtp))
    products = []
    for name, run in engines().items():
        with Traffic(shape, options.seconds) as traffic:
            started = time.process_time()
            call = run(traffic)
            result = traffic.report(name, time.process_time() - started, selects=True)
        unit = "us_per_packet_out" if shape.packets_out else "us_per_packet_in"
        for one in floors:
            result[f"times {one['name']}"] = round(result[unit] / one[unit], 2)
        result["drops"] = {reason.value: count for reason, count in call.drops.counts.items() if count}
        products.append(result)
    if options.json:
        print(json.dumps({"call": shape.name, "runs": floors + products}))
        return
    for result in floors + products:
        print(result)


def engines() -> dict[str, Callable[[Traffic], Call]]:
    """Those that are here: the native one has to be compiled. It also shows what its way out alone brings."""
    found: dict[str, Callable[[Traffic], Call]] = {"python engine": partial(fanout, make_engine=PythonEngine)}
    if find_spec("sft_engine_native"):
        native = import_module("sft_engine_native").NativeEngine
        found["native engine, read in Python"] = partial(fanout, make_engine=native)
        found["native engine"] = partial(read_by_engine, make_engine=native)
    return found


if __name__ == "__main__":
    main()
