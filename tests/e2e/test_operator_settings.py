"""What an operator of Wire's server sets: credentials, versions, origins, URLs (protocol section 1).

With the items of the checklist (section 14) and of the table of defects (section 13) that need a listener.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from sft.signalling.credentials import SharedSecret, make_credentials
from support.server import HttpReply, Server, running_server
from support.wire import confconn, message, new_id

SECRET = "not-a-real-secret"
ORIGINS = ["https://app.example.com", "https://staging.example.com"]
URL = "https://sft.example.com/sfts/sftd-1"
"""As Wire's chart gives to each pod; its proxy passes ``/sfts/sftd-1/sft/X`` on to the pod as ``/sft/X``."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "secret").write_text(f"{SECRET}\n")
    with running_server(
        folder,
        server={"url": f"{URL}/", "cors_origins": ORIGINS, "operator_hosts": ["sft.internal"]},
        credentials={"secret_file": "secret"},
        limits={"blocked_versions": "<6.2.9,6.2.11"},
    ) as server:
        yield server


def credentials(*, seconds: float = 60, may_start: bool = True, secret: str = SECRET) -> dict[str, str]:
    """The keys of CONFCONN that the backend gives a client."""
    username, credential = make_credentials(
        SharedSecret.from_text(secret), expires=int(time.time() + seconds), may_start=may_start
    )
    return {"username": username, "credential": credential}


def join(server: Server, call: str, user: str = "", **fields: Any) -> tuple[str, int]:
    """Type and status of the answer to a CONFCONN."""
    reply = server.post_json(f"/sft/{call}", confconn(call, user or new_id(), **fields)).json()
    return reply["type"], reply.get("status", 0)


REFUSED = {
    "none": ({}, 2),
    "under another secret": (credentials(secret="another"), 2),
    "of another name": (credentials() | {"username": "d=9999999999.v=1.k=0.s=1.r=a"}, 2),
    "expired": (credentials(seconds=-60), 3),
}
"""Credentials that let nobody in, and the status a client is told."""


@pytest.mark.parametrize("kind", REFUSED)
def test_without_good_credentials_no_call_is_started(server: Server, kind: str) -> None:
    shown, status = REFUSED[kind]
    assert join(server, new_id(), **shown) == ("CONFCONN", status)


def test_who_may_not_start_a_call_may_join_one(server: Server) -> None:
    call, guest = new_id(), credentials(may_start=False)
    assert join(server, call, **guest) == ("CONFCONN", 5)
    assert join(server, call, **credentials()) == ("SETUP", 0)
    assert join(server, call, **guest) == ("SETUP", 0)


@pytest.mark.parametrize("kind", REFUSED)
def test_defect_03_credentials_are_checked_for_everybody_who_joins_a_running_call(
    server: Server, kind: str
) -> None:
    call, user = new_id(), new_id()
    assert join(server, call, user, **credentials()) == ("SETUP", 0)
    shown, status = REFUSED[kind]
    assert join(server, call, **shown) == ("CONFCONN", status)
    for update in (True, False):  # also for somebody who is there already
        assert join(server, call, user, update=update, **shown) == ("CONFCONN", status)


def test_defect_04_neither_secret_nor_credentials_are_logged(server: Server) -> None:
    good, bad = credentials(), credentials(secret="another")
    join(server, new_id(), **good)
    join(server, new_id(), **bad)
    log = server.log_text
    assert "not_authorized" in log
    for word in (SECRET, *good.values(), *bad.values()):
        assert word not in log


@pytest.mark.parametrize(
    ("toolver", "answer"),
    [
        ("6.2.8", ("CONFCONN", 1)),
        ("6.2.9", ("SETUP", 0)),
        ("6.2.11", ("CONFCONN", 1)),
        ("10.5.8", ("SETUP", 0)),
        ("0.0.1", ("SETUP", 0)),
    ],
)
def test_listed_client_versions_are_refused(server: Server, toolver: str, answer: tuple[str, int]) -> None:
    assert join(server, new_id(), toolver=toolver, **credentials()) == answer


def replies_of_all_kinds(server: Server, headers: dict[str, str]) -> list[HttpReply]:
    call = new_id()
    return [
        server.post(f"/sft/{call}", json.dumps(confconn(call, new_id(), **credentials())), headers),
        server.post(f"/sft/{call}", json.dumps(confconn(call, new_id())), headers),
        server.post(f"/sft/{call}", "{", headers),
        server.get("/sft/url", headers=headers),
        server.get("/nothing/here", headers=headers),
    ]


@pytest.mark.parametrize("origin", ORIGINS)
def test_checklist_15_each_origin_may_read_every_reply(server: Server, origin: str) -> None:
    replies = replies_of_all_kinds(server, {"origin": origin})
    assert [reply.status for reply in replies] == [200, 200, 400, 200, 404]
    assert {reply.headers["access-control-allow-origin"] for reply in replies} == {origin}
    assert all("origin" in reply.headers["vary"].lower() for reply in replies)
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    preflight = server.request("OPTIONS", f"/sft/{new_id()}", headers=asked)
    assert preflight.status == 200
    assert preflight.headers["access-control-allow-origin"] == origin
    assert "content-type" in preflight.headers["access-control-allow-headers"].lower()


def test_other_origins_may_read_nothing(server: Server) -> None:
    replies = replies_of_all_kinds(server, {"origin": "https://evil.example.com"})
    assert {reply.headers["access-control-allow-origin"] for reply in replies} == {None}


def test_checklist_16_the_url_is_told_in_text_and_in_setup(server: Server) -> None:
    reply = server.get("/sft/url")
    assert (reply.status, reply.body) == (200, f"{URL}\r\n".encode())
    assert reply.headers.get_content_type() == "text/plain"
    call = new_id()
    setup = server.post_json(f"/sft/{call}", confconn(call, new_id(), **credentials())).json()
    assert setup["url"] == URL  # letter by letter what sft_servers_all lists


def test_the_path_a_proxy_passes_on_and_a_query_that_is_ignored(server: Server) -> None:
    call = new_id()
    for path in (f"/sft/{call}", f"/sft/{call}?from=proxy"):
        body = confconn(call, new_id(), **credentials())
        assert server.post_json(path, body).json()["type"] == "SETUP"


@pytest.mark.parametrize("path", ["/x/{}", "/{}", "/sft/{}/more", "/sfts/sftd-1/sft/{}"])
def test_defect_01_other_paths_are_no_calls(server: Server, path: str) -> None:
    call = new_id()
    assert server.post_json(path.format(call), confconn(call, new_id(), **credentials())).status == 404


def test_defect_02_a_message_that_fits_nowhere_is_answered_with_400(server: Server) -> None:
    call, user = new_id(), new_id()
    assert join(server, call, user, **credentials()) == ("SETUP", 0)
    assert server.post_json(f"/sft/{call}", message("PING", call, user)).status == 400


def test_operators_pages_are_given_out_under_known_names_only(server: Server) -> None:
    def status(host: str) -> int:
        return server.request("GET", "/snapshot", operator=True, headers={"Host": host}).status

    assert status("sft.internal:49090") == status("192.0.2.1") == 200
    assert status("evil.example:49090") == 421
