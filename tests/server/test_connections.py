"""What goes wrong while HTTP is served: it is told, counted, and costs one request."""

from __future__ import annotations

import errno
import logging

import structlog.testing
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sft.config import Config
from sft.plugin.manager import PluginManager
from sft.server.connections import Connections
from sft.server.gateway import Gateway
from sft.server.http import hypercorn_config, open_listener, operator_app


async def test_a_route_that_fails_answers_500_and_is_logged_and_counted() -> None:
    async def fail(request: Request) -> Response:
        raise ZeroDivisionError

    config = Config()
    gateway = Gateway(config, PluginManager.load(config))
    app = operator_app(config, gateway, [Route("/bad", fail)])
    listening = open_listener("127.0.0.1:0")
    port, stop = listening.getsockname()[1], trio.Event()
    connections = Connections(app, hypercorn_config(listening, 5), gateway.connection_failed)
    with structlog.testing.capture_logs() as log:
        async with trio.open_nursery() as nursery:
            assert await nursery.start(connections.serve, stop.wait) == f"http://127.0.0.1:{port}"
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                await stream.send_all(b"GET /bad HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = b"".join([data async for data in stream])
            stop.set()
    assert answer.startswith(b"HTTP/1.1 500")
    assert answer.endswith(b"internal error\n")
    assert gateway.outcomes["internal_error"] == 1
    assert gateway.outcomes["connection_failed"] == 0
    (line,) = log
    assert (line["event"], line["path"]) == ("internal_error", "/bad")
    assert isinstance(line["exc_info"], ZeroDivisionError)


def test_running_out_of_descriptors_is_logged_in_a_line_a_minute() -> None:
    trios = logging.getLogger("trio.serve_listeners")
    with structlog.testing.capture_logs() as log:
        for _ in range(20):
            try:
                raise OSError(errno.EMFILE, "Too many open files")
            except OSError:
                trios.error("accept returned %s", "EMFILE", exc_info=True)
    assert log == [{"event": "cannot_accept", "reason": "accept returned EMFILE", "log_level": "error"}]
