"""The unmodified Wire client and a server that sends ICE checks itself, directly and behind a relay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.coturn import running_coturn
from support.server import running_server
from support.wire_client import WireCall

pytestmark = pytest.mark.wire

CORS = {"cors_origins": ["*"]}


def test_two_hear_and_see_each_other(make_call: Callable[..., WireCall], tmp_path: Path) -> None:
    with running_server(tmp_path, server=CORS, ice={"mode": "full"}) as server:
        _hold(make_call(sft=server.url, clients=2))


def test_two_hear_and_see_each_other_where_only_the_relay_is_reachable(
    make_call: Callable[..., WireCall], tmp_path: Path
) -> None:
    with running_coturn(tmp_path / "coturn") as coturn:
        relay = {"servers": [coturn.url("tcp")], "username": "ann", "password": "pass"}
        ice = {"mode": "full", "candidates": "relay"}
        with running_server(tmp_path / "server", server=CORS, ice=ice, relay=relay) as server:
            _hold(make_call(sft=server.url, clients=2))


def _hold(call: WireCall) -> None:
    a, b = call.clients
    call.join(a, b)
    call.expect_heard(a, b)
    for client in (a, b):
        call.do(client, "video", state="STARTED")
    call.expect_seen(a, b)
    call.leave(a)
    call.leave(b)
