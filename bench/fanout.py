"""The packet path against the floor: the same traffic, sockets and sizes, without ICE and HTTP.

    python bench/fanout.py --receivers 30 --seconds 10 --rate 300 --size 1100 [--json]

Runs the floor twice and the product's packet path (``sft.forwarding`` with the Python engine, RTCP
housekeeping included), one after the other in this process, and prints CPU per packet out and the
ratios. The aim is at most 1.5 times the floor.
"""

from __future__ import annotations

import argparse
import json
import os
import time

from floor import floor
from traffic import KEY, SSRC, Traffic, UdpBase, arguments, report

from sft.forwarding.endpoint import Endpoint
from sft.forwarding.engine import PythonEngine
from sft.forwarding.loop import receive
from sft.forwarding.table import Table
from sft.model import Drops, ParticipantId, SrtpParameters

KEYS = SrtpParameters("SRTP_AEAD_AES_128_GCM", inbound=KEY, outbound=KEY)


class Call:
    """A table with one sender and K receivers that all watch it."""

    def __init__(self, traffic: Traffic) -> None:
        self.drops = Drops()
        self.deadline = float("inf")
        self.engine = PythonEngine(self.drops)
        self.table = Table(os.urandom, lambda now: now + 1.7e9, self._wake)
        now = time.monotonic()
        self.sender = self._endpoint("sender", now)
        self.sender.set_answer(None, (SSRC,), audio_nack=False, video_nack=False)
        receivers = []
        for index, (base, address) in enumerate(traffic.receivers):
            receiver = self._endpoint(f"receiver {index}", now)
            receiver.set_path(base, address)
            receivers.append(receiver)
        for base, address in traffic.receivers[:1]:  # the sender's RTCP has to go somewhere
            self.sender.set_path(base, address)
        self.table.set_allowed(self.sender, frozenset(receivers), frozenset(receivers), now)
        for receiver in receivers:
            self.table.set_streams(receiver, [(self.sender, 2)], now)

    def _wake(self, when: float) -> None:
        self.deadline = min(self.deadline, when)

    def _endpoint(self, name: str, now: float) -> Endpoint:
        endpoint = Endpoint(ParticipantId(name, "_"), 7, 5, 9, self.engine, self.drops, os.urandom)
        self.table.add(endpoint, now)
        endpoint.open(KEYS, now)
        return endpoint


def fanout(traffic: Traffic) -> Call:
    """Forward until the traffic ends."""
    call = Call(traffic)
    base: UdpBase = traffic.inbound
    sender, address = call.sender, ("127.0.0.1", 1)
    for data, now in traffic.packets():
        receive(sender, base, data, address, now)
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
    results = []
    for srtp in ("session", "direct"):
        with Traffic(options) as traffic:
            started = time.process_time()
            floor(traffic, srtp)
            results.append(report(f"floor ({srtp})", traffic, time.process_time() - started))
    with Traffic(options) as traffic:
        started = time.process_time()
        call = fanout(traffic)
        results.append(report("sft.forwarding", traffic, time.process_time() - started))
    product = results[-1]["us_per_packet_out"]
    for result in results[:2]:
        result["product_ratio"] = round(float(str(product)) / float(str(result["us_per_packet_out"])), 3)
    drops = {reason.value: count for reason, count in call.drops.counts.items() if count}
    if options.json:
        print(json.dumps({"runs": results, "drops": drops}))
        return
    for result in results:
        print(result)
    print("drops:", drops or "none")


if __name__ == "__main__":
    main()
