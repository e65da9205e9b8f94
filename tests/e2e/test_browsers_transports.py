"""Two pages in Chromium with the real server, over each kind of transport."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.server import Json, Server, free_tcp_ports, running_server
from support.web_pages import ANN, BOB, Browser, finds

pytestmark = pytest.mark.browser

TCP_ONLY: Json = {"block": ["transport_udp"], "transport_udp": None}
UDP_ONLY: Json = {"block": ["transport_tcp"], "transport_tcp": None}


def hold_a_call(server: Server, browser: Browser) -> None:
    """Ann and Bob join, and see and hear each other."""
    pages = {person: browser.join(server, person, "by any way") for person in (ANN, BOB)}
    for person, page in pages.items():
        other = BOB if person is ANN else ANN
        page.wait(lambda state, other=other: finds(state, other), 15)  # type: ignore[misc]
    for page in pages.values():
        assert page.errors == []


def paths(server: Server) -> list[str]:
    """The protocol of each participant's path."""
    (call,) = server.worker()["calls"]
    return [participant["transport"] for participant in call["participants"]]


@pytest.mark.parametrize("shared", [True, False])
def test_a_call_over_tcp_when_nothing_else_is_offered(tmp_path: Path, browser: Browser, shared: bool) -> None:
    ports = free_tcp_ports(1)[0]
    span = f"{ports}-{ports + 20}"
    with running_server(
        tmp_path, plugins=TCP_ONLY | {"transport_tcp": {"shared": shared, "ports": span}}
    ) as server:
        hold_a_call(server, browser)
        assert paths(server) == ["tcp", "tcp"]
        stats = server.worker()["transports"]["tcp"]
        assert stats["connections"] >= 2
        assert stats["ports_free"] == stats["ports_total"] - 2


def test_udp_wins_when_both_work(tmp_path: Path, browser: Browser) -> None:
    with running_server(tmp_path) as server:
        hold_a_call(server, browser)
        server.wait(lambda server: paths(server) == ["udp", "udp"])


def test_a_call_over_a_single_udp_port(tmp_path: Path, browser: Browser) -> None:
    with running_server(tmp_path, plugins=UDP_ONLY | {"transport_udp": {"shared": True}}) as server:
        hold_a_call(server, browser)
        assert paths(server) == ["udp", "udp"]
        stats = server.worker()["transports"]["udp"]
        assert stats["ports_free"] == stats["ports_total"] - 2
