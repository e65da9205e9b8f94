"""aiortc clients, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.clients import ClientPool


@pytest.fixture(scope="session")
def client_pool() -> Iterator[ClientPool]:
    from support.clients import ClientPool

    pool = ClientPool()
    yield pool
    pool.stop()


@pytest.fixture
def clients(client_pool: ClientPool) -> Iterator[ClientPool]:
    """``clients.make()`` gives an aiortc client in a process of its own."""
    yield client_pool
    client_pool.take_back()
