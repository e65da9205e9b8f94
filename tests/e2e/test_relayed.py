"""The full ICE agent and relays with real clients: the server behind coturn, and the web client behind it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sft.plugin import default_addresses
from support.clients import ClientPool, meet, settle
from support.coturn import SECRET, Coturn, running_coturn
from support.rtp import audio
from support.server import Json, Server, running_server
from support.web_pages import ANN, BOB, Browser, finds
from support.wire import confconn, new_id

GATHERS_RELAYED = """(server) => new Promise((resolve) => {
  const connection = new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: 'relay' });
  connection.onicecandidate = ({ candidate }) => candidate?.type === 'relay' && resolve(true);
  connection.onicegatheringstatechange = () => connection.iceGatheringState === 'complete' && resolve(false);
  connection.createDataChannel('');
  connection.setLocalDescription();
})"""


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with running_coturn(tmp_path_factory.mktemp("coturn")) as coturn:
        yield coturn


def relay(coturn: Coturn, *links: str) -> Json:
    return {
        "servers": [coturn.url(link) for link in links],
        "username": coturn.username,
        "password": coturn.password,
        "ca_file": str(coturn.certificate),
    }


def paths(server: Server) -> list[tuple[str, str]]:
    """(kind, protocol) of the path of each participant that is connected."""
    people = [one for call in server.worker()["calls"] for one in call["participants"]]
    return [(one["path"], one["transport"]) for one in people if one["connected"]]


def candidates(server: Server) -> list[str]:
    """The kinds of UDP candidate in an offer."""
    offer = server.post_json("/sft/" + (call := new_id()), confconn(call, "ann", toolver="9.0.0", vstreams=0))
    lines = offer.json()["sdp"].split("\r\n")
    assert "a=ice-lite" not in lines
    found = [line.split() for line in lines if line.startswith("a=candidate:")]
    return [words[7] for words in found if words[2].lower() == "udp"]


def talk(server: Server, clients: ClientPool) -> None:
    """Two aiortc clients hear each other."""
    call = new_id()
    ann, bob = clients.make(), clients.make()
    for client in (ann, bob):
        client.join(server.url, call)
    meet(ann, bob)
    ann.start_sending(audio(ann.ssrcs["audio"], 50), 100).result(10)
    settle(ann, bob)
    assert len(bob.packets) == 50
    ann.hangup()
    bob.hangup()


def see(server: Server, browser: Browser) -> None:
    """Two pages see and hear each other."""
    pages = [browser.join(server, person, "relayed") for person in (ANN, BOB)]
    for page, other in zip(pages, (BOB, ANN), strict=True):
        page.wait(lambda state, other=other: finds(state, other), 20)  # type: ignore[misc]  # a default argument


def test_a_full_server_meets_aiortc(tmp_path: Path, clients: ClientPool) -> None:
    with running_server(tmp_path, ice={"mode": "full"}) as server:
        assert candidates(server) == ["host"]
        talk(server, clients)


@pytest.mark.browser
def test_a_full_server_meets_chromium(tmp_path: Path) -> None:
    with running_server(tmp_path, ice={"mode": "full"}) as server, Browser() as browser:
        see(server, browser)
        assert set(paths(server)) == {("host", "udp")}


@pytest.mark.parametrize("link", ["udp", "tcp", "tls"])
def test_a_server_that_only_the_relay_reaches_meets_aiortc(
    tmp_path: Path, coturn: Coturn, clients: ClientPool, link: str
) -> None:
    ice = {"mode": "full", "candidates": "relay"}
    with running_server(tmp_path, ice=ice, relay=relay(coturn, link)) as server:
        assert candidates(server) == ["relay"]
        talk(server, clients)


@pytest.mark.browser
def test_a_server_that_only_the_relay_reaches_meets_chromium(tmp_path: Path, coturn: Coturn) -> None:
    ice = {"mode": "full", "candidates": "relay"}
    with running_server(tmp_path, ice=ice, relay=relay(coturn, "udp")) as server, Browser() as browser:
        see(server, browser)
        assert set(paths(server)) == {("relay", "udp")}
        assert server.ports_free() == server.worker()["transports"]["udp"]["ports_total"]


@pytest.mark.browser
def test_the_direct_path_wins_over_the_relay(tmp_path: Path, coturn: Coturn) -> None:
    with (
        running_server(tmp_path, ice={"mode": "full"}, relay=relay(coturn, "udp")) as server,
        Browser() as browser,
    ):
        assert candidates(server) == ["host", "srflx", "relay"]
        see(server, browser)
        assert set(paths(server)) == {("host", "udp")}


def test_a_relay_that_is_down_costs_a_join_little_while_there_is_a_direct_way(
    tmp_path: Path, clients: ClientPool
) -> None:
    table = {"servers": ["turn:127.0.0.1:9"], "username": "a", "password": "b", "wait_seconds": 0.2}
    with running_server(tmp_path, ice={"mode": "full"}, relay=table) as server:
        assert candidates(server) == ["host"]
        talk(server, clients)


def test_without_the_only_relay_a_join_is_refused(tmp_path: Path) -> None:
    table = {"servers": ["turn:127.0.0.1:9"], "username": "a", "password": "b", "wait_seconds": 0.2}
    ice = {"mode": "full", "candidates": "relay"}
    with running_server(tmp_path, ice=ice, relay=table) as server:
        call = new_id()
        reply = server.post_json(f"/sft/{call}", confconn(call, "ann", toolver="9.0.0", vstreams=0))
        assert "sdp" not in reply.body.decode()
        assert server.worker()["load"]["calls"] == 0


@pytest.mark.browser
def test_the_web_client_gets_turn_servers_with_credentials_that_work(tmp_path: Path) -> None:
    # Not on loopback, which Chromium does not gather candidates from.
    host = next(address for address in default_addresses() if "." in address)
    with running_coturn(tmp_path / "coturn", with_secret=True, host=host) as coturn:
        secret = tmp_path / "secret"
        secret.write_text(SECRET)
        turn = {"servers": [coturn.url("udp")], "secret_file": str(secret)}
        with running_server(tmp_path / "server", turn=turn) as server, Browser() as browser:
            call = new_id()
            body = confconn(call, "ann", toolver="9.0.0", vstreams=0)
            reply = server.post_json(f"/ice/{call}", body)
            assert reply.headers["cache-control"] == "no-store"
            [given] = reply.json()["iceServers"]
            assert given["urls"] == turn["servers"]
            assert given["username"].endswith(":ann")
            page = browser.join(server, ANN, "relayed")
            assert server.snapshot()["outcomes"]["ice_servers"] == 2
            assert page.evaluate(f"({GATHERS_RELAYED})({json.dumps(given)})")
            assert page.errors == []


def test_whoever_may_not_join_gets_no_turn_server(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("backend")
    turn = {"servers": ["turn:turn.example.net"], "secret_file": str(secret)}
    credentials = {"secret_file": str(secret)}
    with running_server(tmp_path / "server", turn=turn, credentials=credentials) as server:
        call = new_id()
        reply = server.post_json(f"/ice/{call}", confconn(call, "ann", toolver="9.0.0", vstreams=0))
        assert "turn.example.net" not in reply.body.decode()
        assert server.post(f"/ice/{call}", "nonsense").status == 400


def test_a_server_without_turn_gives_an_empty_list(server: Server) -> None:
    call = new_id()
    reply = server.post_json(f"/ice/{call}", confconn(call, "ann", toolver="9.0.0", vstreams=0))
    assert reply.json() == {"iceServers": []}
