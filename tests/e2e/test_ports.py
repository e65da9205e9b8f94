"""A real server with few ports, and many more participants than fit: real HTTP, ICE, DTLS and SCTP."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from sft.calls.requests import Accepted, Answer, Connect, Offered, Refusal, Refused, Reply, Request
from support.lives import LIVES, Town
from support.server import Server, free_udp_range, running_server
from support.wire import confconn, message

PORTS = 50
AT_ONCE = 40
"""Who has ended holds a port until the server has noticed: that is more than there are."""

SHORT = {"offer_seconds": 2, "connect_seconds": 2, "silence_seconds": 2, "ping_seconds": 2}
LIMIT_REACHED = 4


class Post:
    """The server's HTTP listener, as the ``handle`` of light clients."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def handle(self, request: Request) -> Reply:
        assert isinstance(request, (Connect, Answer))
        call, user = request.call, request.participant.user
        if isinstance(request, Connect):
            body = confconn(call, user, update=request.update, vstreams=0)
        else:
            body = message("SETUP", call, user, resp=True, sdp=request.sdp, props={})
        reply = await trio.to_thread.run_sync(self._server.post_json, f"/sft/{call}", body)
        if reply.status == 400:
            return Refused(Refusal.BAD_ANSWER)
        assert reply.status == 200, reply
        match reply.json():
            case {"type": "SETUP" | "UPDATE" as type, "sdp": sdp}:
                return Offered(sdp, update=type == "UPDATE", with_url=False)
            case {"type": "CONFCONN", "status": 0}:
                return Accepted()
            case {"type": "CONFCONN", "status": status}:
                assert status == LIMIT_REACHED
                return Refused(Refusal.NO_PORT)
        raise AssertionError(reply.body)


@pytest.mark.parametrize("count", [100, pytest.param(10_000, marks=pytest.mark.nightly)])
async def test_lives_with_real_dtls_on_fifty_ports_lose_none(tmp_path: Path, count: int) -> None:
    tables = {
        "limits": {"pending_per_address": 1000, "joins_per_address_per_second": 1e6, "joins_burst": 10**6},
        "timers": SHORT,
        "log": {"level": "warning"},
        "plugins": {
            "block": ["transport_tcp"],
            "transport_tcp": None,
            "transport_udp": {"ports": free_udp_range(PORTS)},
        },
    }
    with running_server(tmp_path, **tables) as server:

        def is_empty(_: Server) -> bool:
            return server.participants() == 0 and server.ports_free() == PORTS

        town = Town(Post(server).handle, pause=0.5, keep_alive=0.5)
        await town.live_through(len(LIVES), len(LIVES), LIVES)  # what is made once, is made now
        await trio.to_thread.run_sync(server.wait, is_empty)
        descriptors = len(os.listdir(f"/proc/{server.pid}/fd"))
        await town.live_through(count, AT_ONCE, LIVES)
        await trio.to_thread.run_sync(server.wait, is_empty)
        outcomes = server.snapshot()["outcomes"]
        print(f"{town.lived.total()} lives, {town.refused} refusals: {dict(town.lived)}")
        assert outcomes["no_port"] == town.refused > 0
        server.wait(lambda _: len(os.listdir(f"/proc/{server.pid}/fd")) <= descriptors)
