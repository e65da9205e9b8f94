"""A NAT gives a client another port in mid-call; the call goes on without a new join."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.internet import GATE, NAT_PORTS, OTHER_NAT_PORTS, Internet
from support.server import Server
from support.wire_client import PATIENCE, Harness, Wire, WireCall, wire_call

pytestmark = pytest.mark.wire

GAP = 3.0
"""Seconds the media may be away."""

AFTERWARDS = 1.5
"""Seconds watched after the server has found everybody at the new ports."""


@pytest.fixture(scope="module")
def harness(internet: Internet) -> Iterator[Harness]:
    """Two clients in one office, so behind one NAT."""
    harness = Harness(internet.office.command)
    yield harness
    harness.stop()


@pytest.fixture(
    params=[(False, "lite"), (True, "lite"), (False, "full")], ids=["a port each", "one port", "full ICE"]
)
def server(internet: Internet, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    shared, mode = request.param
    plugins = {"transport_udp": {"shared": shared}}
    with internet.running_server(tmp_path, plugins=plugins, ice={"mode": mode}) as server:
        yield server


def ports(server: Server) -> list[int]:
    """From which ports of the NAT the server hears the participants."""
    people = [one for call in server.worker()["calls"] for one in call["participants"] if one["connected"]]
    remotes = [one["remote"].rpartition(":") for one in people]
    assert {host for host, _, _ in remotes} == {GATE}
    return [int(port) for _, _, port in remotes]


def are_in(ports: list[int], span: str) -> bool:
    first, last = map(int, span.split("-"))
    return all(first <= port <= last for port in ports)


def longest_gaps(call: WireCall, moved: Callable[[], bool]) -> dict[Wire, float]:
    """Seconds each client went without a new packet of audio, rounded up to the next look."""
    now = time.monotonic()
    end = now + PATIENCE
    is_moved = False
    counts: dict[Wire, float] = {}
    grown, gaps = dict.fromkeys(call.clients, now), dict.fromkeys(call.clients, 0.0)
    while now < end:
        for client in call.clients:
            count = call.inbound(client, "audio", "packetsReceived")
            now = time.monotonic()
            gaps[client] = max(gaps[client], now - grown[client])
            if count > counts.get(client, count):
                grown[client] = now
            counts[client] = count
        if not is_moved and moved():
            is_moved, end = True, now + AFTERWARDS
        time.sleep(0.05)
    return gaps


def test_clients_whose_ports_change_stay_in_the_call(
    harness: Harness, internet: Internet, server: Server, request: pytest.FixtureRequest
) -> None:
    internet.gate.translate(NAT_PORTS)
    with wire_call(harness, request.node.name, server.url, clients=2) as call:
        a, b = call.clients
        call.join(a, b)
        call.expect_heard(a, b)
        requests = {client: call.requests(client) for client in (a, b)}
        assert are_in(ports(server), NAT_PORTS)

        internet.gate.translate(OTHER_NAT_PORTS)
        internet.gate.forget_connections()
        gaps = longest_gaps(call, lambda: are_in(ports(server), OTHER_NAT_PORTS))

        print("longest gap of audio: " + ", ".join(f"{c.label} {gap:.2f} s" for c, gap in gaps.items()))
        assert max(gaps.values()) < GAP
        call.expect_heard(a, b)
        assert len(ports(server)) == 2
        assert are_in(ports(server), OTHER_NAT_PORTS)
        assert {client: call.requests(client) for client in (a, b)} == requests
