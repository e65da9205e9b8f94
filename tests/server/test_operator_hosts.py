"""A web page that has its own name lead to the operators' listener (DNS rebinding) reads nothing there."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import structlog.testing
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sft.config import Config, parse_config
from sft.plugin import DrainState
from sft.server.http import operator_app
from support.asgi import request

PATHS = ["/health", "/metrics"]
"""Of the core's own, and of a plugin's."""


async def metrics(request: Request) -> Response:
    return PlainTextResponse("running\n")


async def answers(config: Config, host: str | None) -> dict[str, int]:
    """The statuses."""
    gateway = SimpleNamespace(state=DrainState.RUNNING)
    app = operator_app(config, gateway, [Route("/metrics", metrics)])  # type: ignore[arg-type]  # a part of it
    headers = {} if host is None else {"host": host}
    return {path: (await request(app, path, headers))[0] for path in PATHS}


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:49090",
        "10.2.3.4",
        "[::1]:49090",
        "[2001:db8::1]",
        "localhost:49090",
        "LocalHost.",
        None,  # HTTP/1.0, which no browser speaks
    ],
)
async def test_an_address_and_localhost_are_answered(host: str | None) -> None:
    assert set((await answers(Config(), host)).values()) == {200}


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:49090",
        "evil.example",
        "localhost.evil.example:49090",
        "127.0.0.1.evil.example:49090",
        "[evil.example]:49090",
        "0x7f000001",
        "",
    ],
)
async def test_another_name_is_told_that_it_is_not_ours(host: str) -> None:
    assert set((await answers(Config(), host)).values()) == {421}


async def test_each_name_is_logged_once_and_a_few_names_at_most() -> None:
    gateway = SimpleNamespace(state=DrainState.RUNNING)
    app = operator_app(Config(), gateway, [])  # type: ignore[arg-type]  # a part of it
    with structlog.testing.capture_logs() as lines:
        for number in range(20):
            for _ in range(2):
                await request(app, "/health", {"host": f"sft-{number}.internal"})
    assert [line["host"] for line in lines] == [f"sft-{number}.internal" for number in range(10)]
    assert {line["event"] for line in lines} == {"unknown_host"}


async def test_names_are_ours_when_the_operator_says_so() -> None:
    config = parse_config('[server]\noperator_hosts = ["sft-0.internal", "SFT"]')
    for host in ("sft-0.internal:49090", "SFT-0.internal", "sft:49090"):
        assert set((await answers(config, host)).values()) == {200}
    for host in ("sft-1.internal:49090", "internal"):
        assert set((await answers(config, host)).values()) == {421}
    config = parse_config('[server]\noperator_hosts = ["*"]')
    assert set((await answers(config, "evil.example")).values()) == {200}
