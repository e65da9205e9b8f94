"""The server is replaced in mid-call; the clients come back by themselves, with an UPDATE for
participants it has never heard of."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server import Server, make_config
from support.wire_client import Harness, wire_call

pytestmark = pytest.mark.wire


class Successors:
    """Servers of one config, one after another on the same ports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._config = make_config(server={"cors_origins": ["*"]})
        self._all: list[Server] = []

    def start(self) -> Server:
        server = Server(self._folder / str(len(self._all)), self._config)
        self._all.append(server)
        server.wait_until_listening()
        return server

    def stop(self) -> None:
        for server in self._all:
            server.kill()


@pytest.fixture
def successors(tmp_path: Path) -> Iterator[Successors]:
    successors = Successors(tmp_path)
    yield successors
    successors.stop()


@pytest.mark.parametrize(
    "signals", [[signal.SIGKILL], [signal.SIGTERM, signal.SIGTERM]], ids=["killed", "told twice"]
)
def test_clients_come_back_to_the_server_that_takes_over(
    harness: Harness, successors: Successors, signals: list[signal.Signals], request: pytest.FixtureRequest
) -> None:
    """After one SIGTERM the running call goes on; after the second the server ends without closing a
    channel, or the clients would ask for a new connection while nobody listens."""
    server = successors.start()
    with wire_call(harness, request.node.name, server.url, clients=2) as call:
        a, b = call.clients
        call.join(a, b)
        call.expect_heard(a, b)
        for number in signals[:-1]:
            server.signal(number)
            call.expect_heard(a, b)
        server.signal(signals[-1])
        server.wait_for_end()
        successors.start()
        call.expect_heard(a, b, seconds=60)
        posts = [
            e["body"] for e in call.record()["events"] if e["kind"] == "sft-response" and e["status"] == 200
        ]
        assert sum('"type":"UPDATE"' in body.replace(" ", "") for body in posts) == 2
