"""Real servers in processes of their own, and clients in theirs."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from support.clients import ClientPool
from support.server import Server, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of one module share."""
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(scope="session")
def client_pool() -> Iterator[ClientPool]:
    pool = ClientPool()
    yield pool
    pool.stop()


@pytest.fixture
def clients(client_pool: ClientPool) -> Iterator[ClientPool]:
    """``clients.make()`` gives an aiortc client in a process of its own."""
    yield client_pool
    client_pool.take_back()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the end of its server's log."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Server):
                report.sections.append(("server log", value.log_text[-20_000:]))
    return report
