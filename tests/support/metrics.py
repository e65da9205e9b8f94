"""What Prometheus reads, what promtool says of it, and snapshots made up."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sft.plugin import (
    CallSnapshot,
    Distribution,
    DrainState,
    InstanceSnapshot,
    ParticipantSnapshot,
    Snapshot,
    WorkerLoad,
)

if TYPE_CHECKING:
    from support.server import Server

NAME_OF_THE_ORIGINAL = 'sft_uptime counter metrics should have "_total" suffix'
"""Wire's sftd has this series, and promtool finds fault with its name."""


def samples(text: str) -> dict[str, float]:
    """Values by series, as ``name{label="value"}``, labels by name."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def scrape(server: Server) -> dict[str, float]:
    """The series of a running server; those that are 0 are left out."""
    reply = server.get("/metrics", operator=True)
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {name: value for name, value in samples(reply.body.decode()).items() if value}


def promtool(*arguments: object, text: str = "") -> tuple[int, list[str]]:
    """The exit code and the lines that promtool writes; skips where it is not installed."""
    if shutil.which("promtool") is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is not installed")
        pytest.skip("promtool is not installed")
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)
    return done.returncode, (done.stdout + done.stderr).splitlines()


def check_metrics(text: str) -> list[str]:
    """What ``promtool check metrics`` finds fault with."""
    code, lines = promtool("check", "metrics", text=text)
    assert code in (0, 3), lines
    return lines


INSTANCE = InstanceSnapshot(
    state=DrainState.RUNNING,
    uptime_seconds=12.5,
    outcomes={"offered": 3},
    joins_refused={"no_port": 1},
    request_seconds=Distribution((0.1, 1.0), (2, 1, 0), 0.7),
)


@attrs.define
class Gateway:
    """Implements :class:`sft.plugin.GatewayServices` as far as the plugin asks."""

    workers_now: Sequence[Snapshot]
    now_: InstanceSnapshot = INSTANCE
    workers: int = 2

    def snapshots(self) -> Sequence[Snapshot]:
        return self.workers_now

    def instance(self) -> InstanceSnapshot:
        return self.now_


def make_snapshot(worker: int = 0, *, calls: int = 0, size: int = 3, **fields: Any) -> Snapshot:
    """A worker with so many calls of so many participants."""
    fields = {"pid": 100 + worker} | fields
    people = tuple(
        ParticipantSnapshot(user=f"{index:064x}", client="1", connected=True, transport="udp", path="host")
        for index in range(size)
    )
    return Snapshot(
        worker=worker,
        time=1_800_000_000.0,
        load=WorkerLoad(worker, participants=calls * size),
        calls=tuple(CallSnapshot(call=f"{index:032x}", participants=people) for index in range(calls)),
        **fields,
    )
