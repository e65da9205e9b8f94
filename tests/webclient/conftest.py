"""A listener that serves the web client and nothing else, and a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator

import hypercorn.config
import hypercorn.trio
import pytest
import trio
from starlette.applications import Starlette

from sft.webclient import routes
from support.chromium import Chromium, open_chromium


@pytest.fixture
async def site(nursery: trio.Nursery) -> AsyncIterator[str]:
    """The web client's origin. There is no SFT behind it: ``/sft/...`` is 404."""
    config = hypercorn.config.Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 0.1
    stop = trio.Event()
    [origin] = await nursery.start(
        lambda *, task_status: hypercorn.trio.serve(
            Starlette(routes=routes()),
            config,
            shutdown_trigger=stop.wait,
            task_status=task_status,
            mode="asgi",
        )
    )
    yield origin
    nursery.cancel_scope.cancel()


@pytest.fixture
async def browser() -> AsyncIterator[Chromium]:
    async with open_chromium() as chromium:
        yield chromium
