"""Two pages call each other over every kind of path, and what the server tells of the paths is true.

A call is judged by ear and eye: each page hears the other's tone and shows the other's colour.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeAlias

import pytest

from sft.model import PathKind
from support.capture import captured
from support.chromium import trusts
from support.coturn import SECRET, Coturn
from support.internet import BORDER, CLOUD, DESK, GATE, HOME, NAME, SERVER, SERVER_6, SIX, TURN, Internet
from support.lab import Host
from support.server import Server
from support.web_pages import ANN, BOB, Browser, Person, WebPage, address

pytestmark = pytest.mark.browser

Serve: TypeAlias = Callable[..., AbstractContextManager[Server]]
Browse: TypeAlias = Callable[[Host], Browser]

HTTPS = "tcp dport 443"
MEDIA = "udp dport 40000-40015"
AFTER_SOME_CHECKS = "quota over 2000 bytes"
"""The first dozen or so is lost: a browser learns no more of itself once it is connected."""
AF41 = 34
MARKED = {"transport_udp": {"dscp": AF41}}
UP = 10.0
"""Seconds from opening the page to seeing and hearing each other, where UDP is blocked."""


def join(server: Server, browser: Browser, person: Person) -> WebPage:
    start = time.monotonic()
    page = browser.join(server, person, "by any way")
    print(f"{person.name} is in the call after {time.monotonic() - start:.1f} s")
    return page


def paths(server: Server) -> list[tuple[str, str]]:
    """(remote host, kind of path) of each participant that is connected."""
    people = [one for call in server.worker()["calls"] for one in call["participants"] if one["connected"]]
    return sorted(
        (one["remote"].rpartition(":")[0], f"{one['transport']} {one['path']}-{one['remote_path']}")
        for one in people
    )


def hang_up(server: Server, *pages: WebPage) -> list[str]:
    """Close the pages. What the log says of the paths of those who left, by and by all."""
    before = server.participants()
    for page in pages:
        assert page.errors == []
        page.close()
    server.wait(lambda server: server.participants() == before - len(pages))
    return sorted(line["path"] for line in server.log if line["event"] == "participant_left")


def hold_a_call(server: Server, ann: Browser, bob: Browser) -> list[tuple[str, str]]:
    """Ann and Bob see and hear each other; their paths are told while they are there, and afterwards."""
    pages = join(server, ann, ANN), join(server, bob, BOB)
    pages[0].find(BOB)
    pages[1].find(ANN)
    found = paths(server)
    assert hang_up(server, *pages) == sorted(kind for _, kind in found)
    totals = {
        str(PathKind(**total["kind"])): total["participants"] for total in server.worker()["paths_left_total"]
    }
    assert totals == Counter(kind for _, kind in found)
    return found


def test_udp_with_a_port_for_each(serve: Serve, browse: Browse, internet: Internet) -> None:
    with serve(plugins=MARKED) as server, captured(internet.home) as capture:
        found = hold_a_call(server, browse(internet.office), browse(internet.home))
        assert capture.marks(SERVER) == {AF41}
    assert found == [(HOME, "udp host-host"), (GATE, "udp host-prflx")]


def test_udp_with_a_single_port(serve: Serve, browse: Browse, internet: Internet) -> None:
    with serve(plugins={"transport_udp": {"shared": True, "ports": "40000"}}) as server:
        found = hold_a_call(server, browse(internet.office), browse(internet.home))
    assert found == [(HOME, "udp host-host"), (GATE, "udp host-prflx")]


def test_a_network_with_ipv6_only(serve: Serve, browse: Browse, internet: Internet) -> None:
    with serve(address=SERVER_6, plugins=MARKED) as server, captured(internet.six) as capture:
        found = hold_a_call(server, browse(internet.six), browse(internet.six))
        assert capture.marks(SERVER_6) == {AF41}
        assert "send_failed" not in server.drops()  # nothing was larger than the network takes
    assert found == [(f"[{SIX}]", "udp host-host")] * 2


def test_ipv4_and_ipv6_clients_in_one_call(serve: Serve, browse: Browse, internet: Internet) -> None:
    """The server finds its addresses itself, and listens at both."""
    with serve(address="::", public=NAME, addresses="auto") as server:
        found = hold_a_call(server, browse(internet.office), browse(internet.six))
    assert found == [(GATE, "udp host-prflx"), (f"[{SIX}]", "udp host-host")]


@pytest.mark.parametrize("mode", ["lite", "full"])
def test_tcp_where_udp_is_blocked_and_udp_again_when_it_is_not(
    serve: Serve, browse: Browse, internet: Internet, gate: Host, mode: str
) -> None:
    gate.forward_only("meta l4proto tcp")
    with serve(ice={"mode": mode}) as server:
        bob = join(server, browse(internet.home), BOB)
        start = time.monotonic()
        ann = join(server, browse(internet.office), ANN)
        ann.find(BOB)
        bob.find(ANN)
        assert time.monotonic() - start < UP
        assert paths(server) == [(HOME, "udp host-host"), (GATE, "tcp host-prflx")]
        assert hang_up(server, ann) == ["tcp host-prflx"]

        gate.forward_all()
        ann = join(server, browse(internet.office), ANN)
        ann.find(BOB)
        bob.find(ANN)
        assert paths(server) == [(HOME, "udp host-host"), (GATE, "udp host-prflx")]
        assert hang_up(server, ann) == ["tcp host-prflx", "udp host-prflx"]
        assert hang_up(server, bob) == ["tcp host-prflx", "udp host-host", "udp host-prflx"]


@pytest.mark.nightly
def test_a_client_whose_udp_stops_in_mid_call_goes_on_by_tcp(
    serve: Serve, browse: Browse, internet: Internet, gate: Host
) -> None:
    with serve() as server:
        ann, bob = join(server, browse(internet.office), ANN), join(server, browse(internet.home), BOB)
        ann.find(BOB)
        bob.find(ANN)
        gate.forward_only("meta l4proto tcp")
        start = time.monotonic()
        server.wait(lambda server: (GATE, "tcp host-prflx") in paths(server), 30)
        print(f"by TCP after {time.monotonic() - start:.1f} s")
        ann.find(BOB)
        bob.find(ANN)
        assert hang_up(server, ann, bob) == ["tcp host-prflx", "udp host-host"]


@pytest.mark.parametrize("link", ["udp", "tcp"])
def test_a_client_that_reaches_only_the_relay(
    serve: Serve, browse: Browse, internet: Internet, gate: Host, coturn: Coturn, tmp_path: Path, link: str
) -> None:
    gate.forward_only(f"ip daddr {SERVER} {HTTPS}", f"ip daddr {TURN} {link} dport {coturn.port}")
    turn = {"servers": [coturn.url(link)], "secret_file": secret_file(tmp_path)}
    with serve(turn=turn) as server:
        found = hold_a_call(server, browse(internet.office), browse(internet.home))
    assert found == [(HOME, "udp host-host"), (TURN, "udp host-relay")]


def test_a_client_that_learned_its_own_address_behind_a_nat(
    serve: Serve, browse: Browse, internet: Internet, gate: Host, coturn: Coturn, tmp_path: Path
) -> None:
    gate.translate()
    gate.forward_only(HTTPS, f"ip daddr {TURN}", f"{MEDIA} {AFTER_SOME_CHECKS}")
    turn = {"servers": [f"stun:{coturn.host}:{coturn.port}"], "secret_file": secret_file(tmp_path)}
    with serve(turn=turn) as server:
        found = hold_a_call(server, browse(internet.office), browse(internet.home))
    assert found == [(HOME, "udp host-host"), (GATE, "udp host-srflx")]


def test_a_server_that_only_the_relay_reaches(
    serve: Serve, browse: Browse, internet: Internet, border: Host, coturn: Coturn, tmp_path: Path
) -> None:
    border.forward_only(f"ip daddr {CLOUD} {HTTPS}", f"ip daddr {TURN} udp dport {coturn.port}")
    ice = {"mode": "full", "candidates": "relay"}
    relay = {"servers": [coturn.url()], "secret_file": secret_file(tmp_path)}
    with serve(internet.cloud, CLOUD, BORDER, ice=ice, relay=relay) as server:
        found = hold_a_call(server, browse(internet.office), browse(internet.home))
    assert found == [(HOME, "udp relay-host"), (GATE, "udp relay-prflx")]


def test_a_server_behind_a_one_to_one_nat(
    serve: Serve, browse: Browse, internet: Internet, border: Host
) -> None:
    border.forward_only(f"ip daddr {CLOUD} {HTTPS}", f"ip daddr {CLOUD} {MEDIA}")
    with serve(internet.cloud, CLOUD, BORDER) as server:
        found = hold_a_call(server, browse(internet.office), browse(internet.home))
    assert found == [(HOME, "udp host-host"), (GATE, "udp host-prflx")]


def test_a_server_behind_a_one_to_one_nat_and_its_neighbour(
    serve: Serve, browse: Browse, internet: Internet, border: Host
) -> None:
    """Two addresses are advertised: by UDP the neighbour reaches only one, everybody else only the other."""
    border.forward_only(
        f"ip daddr {CLOUD} {HTTPS}",
        f"iifname uplink ip daddr {CLOUD} {MEDIA}",
        f"ip saddr {DESK} ct original ip daddr {CLOUD} {MEDIA}",
    )
    both = [{"bind": CLOUD, "advertise": BORDER}, {"bind": CLOUD}]
    with serve(internet.cloud, CLOUD, BORDER, addresses=both) as server:
        found = hold_a_call(server, browse(internet.desk), browse(internet.home))
    assert found == [(DESK, "udp host-host"), (HOME, "udp host-host")]


def test_a_server_that_learns_from_a_stun_server_how_clients_see_it(
    serve: Serve, browse: Browse, internet: Internet, border: Host, coturn: Coturn
) -> None:
    """Nothing from outside gets through its firewall that it has not sent a check to before."""
    border.forward_only(f"ip daddr {CLOUD} {HTTPS}", f"ip saddr {CLOUD}")
    stun = {"servers": [f"stun:{TURN}:{coturn.port}"]}
    own = [{"bind": CLOUD}]
    with serve(internet.cloud, CLOUD, BORDER, own, ice={"mode": "full"}, relay=stun) as server:
        found = hold_a_call(server, browse(internet.home), browse(internet.home))
    assert found == [(HOME, "udp host-host")] * 2


def test_clients_that_hide_their_addresses_are_met_when_they_come(
    serve: Serve, internet: Internet, tls: tuple[Path, Path]
) -> None:
    """Without permission to use camera or microphone a browser names no address, but a name of mDNS."""
    with (
        serve(ice={"mode": "full"}) as server,
        Browser(trusts(tls[0]), "--disable-features=MediaRouter", within=internet.home.command) as browser,
    ):
        pages = [
            browser.open(address(server, person, "by name"), person, permissions=()) for person in (ANN, BOB)
        ]
        pages[0].find(BOB)
        pages[1].find(ANN)
        assert paths(server) == [(HOME, "udp host-prflx")] * 2


def secret_file(folder: Path) -> str:
    file = folder / "secret"
    file.write_text(SECRET)
    return str(file)
