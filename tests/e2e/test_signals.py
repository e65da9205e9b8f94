"""Signals at any time: while the instance starts, and again and again while it ends."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server import Server, make_config, ports_of_two_workers, running_server

ENDING = [signal.SIGINT, signal.SIGTERM]
TWO = {"workers": 2}


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[Server]:
    """A server with two workers that have just been spawned."""
    server = Server(tmp_path, make_config(server=TWO, plugins=ports_of_two_workers()))
    deadline = time.monotonic() + 20
    try:
        while len(children(server)) < 2:
            assert time.monotonic() < deadline, server.log_text
            time.sleep(0.005)
        assert "listening" not in server.log_text
        yield server
    finally:
        server.kill()


def children(server: Server) -> list[int]:
    """Processes; each thread of the server may have started some."""
    files = Path(f"/proc/{server.pid}/task").glob("*/children")
    return [int(pid) for file in files for pid in file.read_text().split()]


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_a_server_that_is_told_to_end_while_it_starts_ends_well(
    starting: Server, number: signal.Signals
) -> None:
    workers = children(starting)
    starting.signal(number)
    starting.assert_ended_well()
    assert "listening" not in starting.log_text
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)


def test_sighup_while_a_server_starts_is_obeyed_once_it_runs(starting: Server) -> None:
    starting.signal(signal.SIGHUP)
    starting.wait_until_listening()
    starting.wait(lambda _: '"reloaded"' in starting.log_text)
    starting.signal(signal.SIGINT)
    starting.assert_ended_well()


def test_a_terminals_signals_reach_the_gateway_only(starting: Server) -> None:
    """Which goes to a whole process group, and would end workers that have only just begun."""
    groups = {os.getpgid(pid) for pid in children(starting)}
    assert os.getpgid(starting.pid) not in groups


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("first", ENDING, ids=lambda number: number.name)
@pytest.mark.parametrize("then", [*ENDING, signal.SIGHUP], ids=lambda number: number.name)
def test_signals_while_a_server_ends_change_nothing(
    tmp_path: Path, first: signal.Signals, then: signal.Signals, workers: int
) -> None:
    plugins = ports_of_two_workers()
    with running_server(tmp_path, ends=True, server={"workers": workers}, plugins=plugins) as server:
        server.signal(first)
        deadline = time.monotonic() + 10
        while not server.ended() and time.monotonic() < deadline:
            server.signal(then)
            time.sleep(0.001)
        assert '"stopping"' in server.log_text
