"""Wire clients on a network that loses packets: what is lost is repeated, both ways, sound and picture."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.internet import Internet
from support.server import Server
from support.wire_client import Harness, Wire, wire_call

pytestmark = pytest.mark.wire

WINDOW = 15
"""Seconds that are watched."""


@pytest.fixture(scope="module")
def harness(internet: Internet) -> Iterator[Harness]:
    """Two clients on one train, so what one sends the other is lost on two ways."""
    harness = Harness(internet.train.command)
    yield harness
    harness.stop()


@pytest.fixture
def server(internet: Internet, tmp_path: Path) -> Iterator[Server]:
    with internet.running_server(tmp_path) as server:
        yield server


def test_what_wire_clients_lose_is_repeated(harness: Harness, internet: Internet, server: Server) -> None:
    with wire_call(harness, "lossy", server.url, clients=2, fps=15) as call:
        a, b = call.clients
        call.join(a, b)
        for client in (a, b):
            call.do(client, "video", state="STARTED")
        call.expect_seen(a, b)
        internet.wireless.set_both(loss=0.05, delay=0.02)

        def outbound(client: Wire, kind: str, field: str) -> float:
            return sum(s.get(field, 0) for s in call.connection(client)["outbound"] if s["kind"] == kind)

        cases = [(client, kind) for client in (a, b) for kind in ("audio", "video")]
        inbound = ("packetsReceived", "packetsLost", "nackCount")
        before = {case: [call.inbound(*case, field) for field in inbound] for case in cases}
        repeated = {case: outbound(*case, "retransmittedPacketsSent") for case in cases}
        time.sleep(WINDOW)
        for client, kind in cases:
            counts = [call.inbound(client, kind, field) for field in inbound]
            received, lost, asked = [n - o for n, o in zip(counts, before[client, kind], strict=True)]
            again = outbound(client, kind, "retransmittedPacketsSent") - repeated[client, kind]
            print(f"{client.label} {kind}: {received:.0f} packets came and {lost:.0f} did not", end=", ")
            print(f"asked {asked:.0f} times, itself repeated {again:.0f}")
            assert lost < 0.01 * received
            assert asked > 0
            assert again > 0
        call.expect_heard(a, b)
        call.expect_seen(a, b)
    internet.wireless.set_both(loss=0.0, delay=0.0)
