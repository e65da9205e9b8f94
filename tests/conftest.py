"""For all tests: the long forms, Hypothesis' profiles, the way to ``support``, and aiortc clients."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from support.clients import ClientPool

sys.path.insert(0, str(Path(__file__).parent))  # tests import ``support.server`` and the like

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the long forms, and only them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    nightly = config.getoption("--nightly")
    skip = pytest.mark.skip(reason="no long form" if nightly else "a long form: --nightly runs it")
    for item in items:
        if (item.get_closest_marker("nightly") is not None) != nightly:
            item.add_marker(skip)


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
