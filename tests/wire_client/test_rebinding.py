"""A NAT gives a client another port in mid-call; the call goes on without a new join."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.nat import INSIDE, OUTSIDE, Nat, running_nat
from support.server import Server, free_udp_range, running_server
from support.wire_client import Harness, Wire, WireCall, wire_call

pytestmark = pytest.mark.wire

GAP = 3.0
"""Seconds the media may be away."""

WATCHED = 8.0
"""Seconds watched after the change: more than two of a browser's intervals between checks (2.5 s)."""


@pytest.fixture
def nat() -> Iterator[Nat]:
    with running_nat(free_udp_range(4)) as nat:
        yield nat


@pytest.fixture
def server(nat: Nat, tmp_path: Path) -> Iterator[Server]:
    udp = {"addresses": [{"bind": INSIDE, "advertise": OUTSIDE}], "ports": f"{nat.ports[0]}-{nat.ports[-1]}"}
    with running_server(tmp_path, server={"cors_origins": ["*"]}, plugins={"transport_udp": udp}) as server:
        yield server


def longest_gaps(call: WireCall, clients: list[Wire]) -> dict[Wire, float]:
    """Seconds each client went without a new packet of audio; rounded up to the next look."""
    start = time.monotonic()
    counts: dict[Wire, float] = {}
    grown = dict.fromkeys(clients, start)
    gaps = dict.fromkeys(clients, 0.0)
    while (now := time.monotonic()) < start + WATCHED:
        for client in clients:
            count = call.inbound(client, "audio", "packetsReceived")
            gaps[client] = max(gaps[client], now - grown[client])
            if count > counts.get(client, count):
                grown[client] = now
            counts[client] = count
        time.sleep(0.05)
    return gaps


def test_a_client_whose_port_changes_stays_in_the_call(
    harness: Harness, server: Server, nat: Nat, request: pytest.FixtureRequest
) -> None:
    with wire_call(harness, request.node.name, server.url, clients=2) as call:
        a, b = call.clients
        call.join(a, b)
        call.expect_heard(a, b)
        port = int(call.connection(a)["pair"]["remote"].rpartition(":")[2])
        before, requests = nat.mapped(port), {client: call.requests(client) for client in (a, b)}

        nat.rebind(port)
        gaps = longest_gaps(call, [a, b])

        print("longest gap of audio: " + ", ".join(f"{c.label} {gap:.2f} s" for c, gap in gaps.items()))
        assert max(gaps.values()) < GAP
        call.expect_heard(a, b)
        assert before
        assert nat.mapped(port).isdisjoint(before)
        assert {client: call.requests(client) for client in (a, b)} == requests
