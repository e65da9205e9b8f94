"""One browser for all scenarios; a server per module."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from support.internet import Internet
from support.server import Server, running_server
from support.wire_client import Harness, WireCall, wire_call


@pytest.fixture(scope="session")
def harness() -> Iterator[Harness]:
    harness = Harness()
    yield harness
    harness.stop()


@pytest.fixture(scope="module")
def internet() -> Iterator[Internet]:
    with Internet() as internet:
        yield internet


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server"), server={"cors_origins": ["*"]}) as server:
        yield server


@pytest.fixture
def make_call(
    harness: Harness, server: Server, request: pytest.FixtureRequest
) -> Iterator[Callable[..., WireCall]]:
    """``make_call(clients=3)`` opens that many Wire clients, which are not in a call yet."""
    with ExitStack() as stack:

        def make(sft: str = server.url, **options: Any) -> WireCall:
            return stack.enter_context(wire_call(harness, request.node.name, sft, **options))

        yield make
