"""Several workers, each a process of its own: calls are spread, and one that dies takes only its own."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients import AiortcClient, ClientPool, meet, settle
from support.rtp import audio
from support.server import Json, Server, make_config, ports_of_two_workers, running_server
from support.wire import new_id

TWO = {"workers": 2}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path, server=TWO, plugins=ports_of_two_workers()) as server:
        yield server


def start_calls(server: Server, clients: ClientPool) -> list[tuple[AiortcClient, AiortcClient]]:
    """A call of two in each worker. A worker that was late within the last second gets no new call: then the
    next may go there."""
    calls: dict[int, tuple[AiortcClient, AiortcClient]] = {}
    for _ in range(5):
        call = new_id()
        pair = ann, bob = clients.make(), clients.make()
        for client in pair:
            client.join(server.url, call)
        meet(ann, bob)
        if calls.setdefault(workers(server)[call]["worker"], pair) is not pair:
            for client in pair:
                client.hangup()
            server.wait(lambda _, call=call: call not in workers(server))  # type: ignore[misc]  # bound now
        if len(calls) == 2:
            return list(calls.values())
    raise AssertionError("one worker gets all calls")


def expect_heard(speaker: AiortcClient, hearer: AiortcClient, sequence: int = 1000) -> None:
    before = len(hearer.packets)
    packets = audio(speaker.ssrcs["audio"], 20, sequence=sequence)
    speaker.send(packets)
    settle(speaker, hearer)
    assert [packet.payload for packet in hearer.packets[before:]] == [packet.payload for packet in packets]


def listed_ssrc(reader: AiortcClient, other: AiortcClient) -> int | None:
    """What the reader's newest list says of the other's audio."""
    return int(reader.entry(other)["ssrc_audio"]) if other.user in reader.users else None


def workers(server: Server) -> dict[str, Json]:
    """The snapshot of the worker that has it, by call."""
    return {call["call"]: worker for worker in server.snapshot()["workers"] for call in worker["calls"]}


def pids(server: Server) -> set[int]:
    return {worker["pid"] for worker in server.snapshot()["workers"]}


def wait_until_gone(processes: set[int]) -> None:
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in processes):
        assert time.monotonic() < deadline, "a worker is still there"
        time.sleep(0.02)


def test_calls_are_spread_over_the_workers_and_each_stays_in_one(server: Server, clients: ClientPool) -> None:
    calls = start_calls(server, clients)
    assert server.pid not in pids(server)
    for ann, bob in calls:
        expect_heard(ann, bob)
    assert server.get("/sft/status").body == b"running calls=2 participants=4\n"


def test_a_killed_worker_is_replaced_and_takes_only_its_own_calls(
    server: Server, clients: ClientPool
) -> None:
    (ann, bob), (eve, fay) = start_calls(server, clients)
    victim = workers(server)[ann.call]
    os.kill(victim["pid"], signal.SIGKILL)
    server.wait(lambda _: len(pids(server) - {victim["pid"]}) == 2)
    expect_heard(eve, fay)
    assert [line["exit_code"] for line in server.log if line["event"] == "worker_died"] == [-9]
    for client in (ann, bob):
        client.update()  # what clients do that hear nothing any more: the participant is unknown
    for one, other in ((ann, bob), (bob, ann)):
        one.wait(lambda _, one=one, other=other: listed_ssrc(one, other) == other.ssrcs["audio"])  # type: ignore[misc]  # bound now
    meet(ann, bob)
    expect_heard(ann, bob)
    expect_heard(eve, fay, sequence=1020)


@pytest.mark.nightly
def test_a_worker_that_hangs_is_replaced(server: Server) -> None:
    victim = next(iter(pids(server)))
    os.kill(victim, signal.SIGSTOP)
    server.wait(lambda _: len(pids(server) - {victim}) == 2, 40)


def test_draining_lets_the_calls_of_all_workers_end(tmp_path: Path, clients: ClientPool) -> None:
    with running_server(tmp_path, ends=True, server=TWO, plugins=ports_of_two_workers()) as server:
        calls = start_calls(server, clients)
        server.signal(signal.SIGTERM)
        server.wait(lambda _: all(worker["state"] == "draining" for worker in server.snapshot()["workers"]))
        late = clients.make()
        late.join(server.url, calls[0][0].call)
        assert clients.make().join(server.url, new_id())["status"] == 503
        for client in (*calls[0], *calls[1], late):
            client.hangup()


def test_workers_end_with_their_gateway_however_it_ends(tmp_path: Path) -> None:
    with running_server(tmp_path / "told", server=TWO, plugins=ports_of_two_workers()) as server:
        processes = pids(server)
    wait_until_gone(processes)
    server = Server(tmp_path / "killed", make_config(server=TWO, plugins=ports_of_two_workers()))
    server.wait_until_listening()
    processes = pids(server)
    server.kill()
    wait_until_gone(processes)


def test_an_instance_whose_workers_cannot_start_ends_and_says_why(tmp_path: Path) -> None:
    config = make_config(server=TWO, plugins={"block": ["srtp"]} | ports_of_two_workers())
    server = Server(tmp_path, config)
    assert server.wait_for_end(30) == 1
    assert "no plugin answers sft_srtp_profiles" in server.log_text
    assert re.search(r"Error: worker \d did not start \(exit code 1\)", server.log_text)
    assert "Traceback" not in server.log_text
