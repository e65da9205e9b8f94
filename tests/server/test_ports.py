"""Not one port is lost, whatever becomes of those who took it."""

from __future__ import annotations

import logging
import socket
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from sft.calls.connection import Connection
from sft.calls.requests import Refusal
from sft.model import Ending, ParticipantId
from sft.plugin import parse_ports
from sft.plugin.manager import prepare
from sft.server.worker import Worker
from support.holdings import settled
from support.lives import LIVES, Town
from support.plain import without_cryptography
from support.server import free_udp_range, make_config, to_toml

PORTS = 50
AT_ONCE = 30
"""Who has ended holds a port until the server has noticed: that is more than there are."""

PAUSE = 5.0


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> dict[ParticipantId, list[str]]:
    """By which reasons the connections of each participant have ended."""
    ends: dict[ParticipantId, list[str]] = defaultdict(list)
    close = Connection.close

    def close_and_note(
        self: Connection, reason: Ending, now: float, *, detail: str = "", silently: bool = False
    ) -> None:
        if not self.closed:
            ends[self.request.participant].append(detail or reason.value)
        close(self, reason, now, detail=detail, silently=silently)

    monkeypatch.setattr(Connection, "close", close_and_note)
    return ends


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Half a million lines of log cost as much as the lives."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.reset_defaults()


@pytest.fixture
def range_of_ports() -> str:
    return free_udp_range(PORTS)


@pytest.fixture
async def worker(tmp_path: Path, range_of_ports: str, monkeypatch: pytest.MonkeyPatch) -> Worker:
    """A worker with default timers and few ports, whose peers speak without cryptography."""
    without_cryptography(monkeypatch)
    file = tmp_path / "sft.toml"
    config = make_config(
        limits={"pending_per_address": 1000},
        telemetry={"snapshot_seconds": 60},
        timers={"roster_milliseconds": 200},
        plugins={
            "block": ["transport_tcp"],
            "transport_udp": {"ports": range_of_ports},
            "transport_tcp": None,
        },
    )
    file.write_text(to_toml(config))
    return Worker(*prepare(file))


@pytest.mark.parametrize("count", [2000, pytest.param(10_000, marks=pytest.mark.nightly)])
async def test_lives_on_fifty_ports_lose_none(
    count: int,
    worker: Worker,
    ends: dict[ParticipantId, list[str]],
    range_of_ports: str,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Real sockets, the real clock's timers at their defaults, and time that passes when nothing happens."""
    town = Town(worker.handle, pause=PAUSE)
    async with trio.open_nursery() as nursery:
        await nursery.start(worker.run)
        await town.live_through(len(LIVES), len(LIVES), LIVES)  # what is made once, is made now
        before = await settled(worker)
        assert before.ports_free == PORTS
        await town.live_through(count, AT_ONCE, LIVES)
        assert await settled(worker) == before
        assert {id: sorted(reasons) for id, reasons in ends.items()} == town.ends
        assert worker.calls.refusals[Refusal.NO_PORT] == town.refused > 0
        assert worker.internal_errors == 0

        nursery.start_soon(town.live_through, count, AT_ONCE, LIVES)
        await trio.sleep(20)
        assert before.ports_free > sum(factory.stats().ports_free for factory in worker.factories)
        nursery.cancel_scope.cancel()  # the server stops, with participants in every state
    assert sum(factory.stats().ports_free for factory in worker.factories) == PORTS
    for port in parse_ports(range_of_ports):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", port))
