"""What the server refuses and how it says so; what it keeps going meanwhile."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.clients import ClientPool, meet, settle
from support.rtp import audio
from support.server import HttpReply, Server, room_for, running_server, to_toml
from support.wire import confconn, new_id

ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Short deadlines, one web origin."""
    with running_server(
        tmp_path_factory.mktemp("server"),
        server={"cors_origins": [ORIGIN]},
        limits={"header_seconds": 0.5, "body_seconds": 0.5},
        timers={"offer_seconds": 1},
    ) as server:
        yield server


def join(server: Server, call: str = "", **fields: Any) -> HttpReply:
    """CONFCONN of a new user; makes the server hold a port until its offer has expired."""
    call = call or new_id()
    return server.post_json(f"/sft/{call}", confconn(call, new_id(), **fields))


def test_the_server_tells_its_url_and_status(server: Server) -> None:
    assert server.get("/sft/url").body == server.url.encode() + b"\r\n"
    assert server.get("/sft/status").body.startswith(b"running")
    assert server.get("/health", operator=True).body == b"running\n"


def test_a_join_gets_an_offer_whatever_the_content_type(server: Server) -> None:
    call = new_id()
    body = json.dumps(confconn(call, new_id()))
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/plain"):
        reply = server.post(f"/sft/{call}", body, {"content-type": kind})
        assert reply.status == 200
        assert reply.headers.get_content_type() == "application/json"
        setup = reply.json()
        assert (setup["type"], setup["resp"], setup["src_userid"]) == ("SETUP", False, "sft")
        assert setup["sessid"] == call
        assert setup["url"] == server.url


def test_the_web_app_may_read_every_reply(server: Server) -> None:
    headers = {"origin": ORIGIN}
    replies = [
        server.get("/sft/url", headers=headers),
        server.post(f"/sft/{new_id()}", json.dumps(confconn(new_id(), new_id())), headers),
        server.post(f"/sft/{new_id()}", "{", headers),
        server.post(f"/sft/{new_id()}", "x" * 70_000, headers),
        server.get("/sft/no/such/page", headers=headers),
    ]
    assert [reply.status for reply in replies] == [200, 200, 400, 413, 404]
    assert {reply.headers["access-control-allow-origin"] for reply in replies} == {ORIGIN}
    stranger = server.get("/sft/url", headers={"origin": "https://evil.example.com"})
    assert stranger.headers["access-control-allow-origin"] is None
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    preflight = server.request("OPTIONS", f"/sft/{new_id()}", headers=asked)
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    "body", ["", "{", "[]", "null", '{"version":"3.0","type":"PING"}', "\udcff\x00" * 10]
)
def test_what_is_no_join_is_refused(server: Server, body: str) -> None:
    assert server.post(f"/sft/{new_id()}", body.encode(errors="surrogateescape")).status == 400


def test_a_body_above_64_kb_is_refused_before_it_was_read(server: Server) -> None:
    assert server.post(f"/sft/{new_id()}", b"x" * 65_537).status == 413
    with server.connect() as connection:
        connection.sendall(head(new_id(), 10**9) + b"x" * 70_000)
        assert status_of(connection) == 413


def test_a_body_that_trickles_is_refused(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head(new_id(), 100) + b"{")
        assert status_of(connection) == 408


def test_a_head_that_trickles_is_hung_up_on(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /sft/x HTTP/1.1\r\nhost:")
        assert connection.recv(1000) == b""


def test_an_offer_nobody_answers_expires_and_frees_its_port(server: Server) -> None:
    server.wait(lambda _: server.participants() == 0)
    free = server.ports_free()
    assert join(server).status == 200
    assert server.ports_free() == free - 1
    server.wait(lambda _: server.ports_free() == free)
    assert server.participants() == 0


def test_an_address_that_asks_too_often_is_told_to_wait(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = {"joins_per_address_per_second": 0.01, "joins_burst": 5}
    with running_server(tmp_path_factory.mktemp("rate"), limits=limits) as server:
        replies = [join(server) for _ in range(7)]
        assert [reply.status for reply in replies] == [200] * 5 + [429] * 2
        assert int(replies[-1].headers["retry-after"]) > 0


def test_pending_joins_of_one_address_are_limited(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = {"pending_per_address": 3}
    with running_server(tmp_path_factory.mktemp("pending"), limits=limits) as server:
        assert [join(server).status for _ in range(5)] == [200] * 3 + [429] * 2


def test_blocked_versions_are_told_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = {"blocked_versions": "<6.2.9"}
    with running_server(tmp_path_factory.mktemp("blocked"), limits=limits) as server:
        old = join(server, toolver="6.2.8").json()
        assert (old["type"], old["status"]) == ("CONFCONN", 1)
        assert join(server, toolver="6.2.9").json()["type"] == "SETUP"


def test_without_free_ports_a_join_is_refused_and_the_others_go_on(
    tmp_path_factory: pytest.TempPathFactory, clients: ClientPool
) -> None:
    with running_server(tmp_path_factory.mktemp("full"), plugins=room_for(3)) as server:
        call = new_id()
        ann, bob, eve = (clients.make() for _ in range(3))
        for client in (ann, bob, eve):
            client.join(server.url, call)
        meet(ann, bob, eve)
        assert server.ports_free() == 0
        refused = join(server, call)
        assert refused.status == 200
        assert (refused.json()["type"], refused.json()["status"]) == ("CONFCONN", 4)
        assert refused.json()["sessid"] == call
        assert join(server).json()["status"] == 4  # nor does a new call begin
        ann.send(audio(ann.ssrcs["audio"], 20))
        settle(ann, bob, eve)
        assert len(bob.packets) == len(eve.packets) == 20
        eve.hangup()
        bob.wait(lambda _: eve.user not in bob.users)
        server.wait(lambda _: server.ports_free() == 1)
        assert server.worker()["load"]["calls"] == 1
        eve.join(server.url, call)
        meet(ann, bob, eve)


def head(call: str, length: int) -> bytes:
    return f"POST /sft/{call} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n".encode()


def status_of(connection: socket.socket) -> int:
    """Of the reply, after which the server must hang up."""
    data = b""
    while part := connection.recv(65_536):
        data += part
    return int(data.split()[1])


def test_a_listener_whose_port_is_taken_is_one_line_of_complaint(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "sft.toml"
    config.write_text(to_toml(server.config))
    command = [Path(sys.executable).with_name("sft-serve"), "run", "--config", config]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    listen = server.config["server"]["listen"]
    assert f"cannot listen on {listen}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr
