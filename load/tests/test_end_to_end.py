"""``sft-load`` against the real server, each in processes of their own.

Limits of latency and of our own lateness are far: the machine of a test has other things to do.
"""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from sft_load.fleet import Fleet
from sft_load.http import read_url
from support.lossy_link import ADDRESS, LossyLink
from support.server import Server, free_tcp_ports, free_udp_range, running_server

FAR = "--max-latency 5 --max-lateness 5 --max-others-cpu 1000"
SMALL = (
    "--per-call 4 --speakers 2 --audio-rate 25 --layer l:30:300 --layer h:60:900 --settle-seconds 1 "
    "--joins-per-second 20"
)


@attrs.frozen
class Result:
    code: int
    output: str
    errors: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.output)
        return document

    @property
    def row(self) -> dict[str, Any]:
        """The last step."""
        row: dict[str, Any] = self.document["steps"][-1]
        return row


def program(arguments: str) -> list[str]:
    """Words are told apart by spaces."""
    return [str(Path(sys.executable).with_name("sft-load")), *arguments.split()]


def load(arguments: str) -> Result:
    """Run ``sft-load`` to its end."""
    done = subprocess.run(program(arguments), capture_output=True, text=True, timeout=90)
    return Result(done.returncode, done.stdout, done.stderr)


@contextmanager
def under_way(arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``sft-load`` has measured its first row."""
    with subprocess.Popen(
        program(arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_of_ctrl_c,
    ) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline().split()[0] == "participants"
            running.stdout.readline()
            yield running
        finally:
            running.kill()


def hear_of_ctrl_c() -> None:
    """Who was started in the background of a shell's script does not."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


def test_a_small_load_goes_through_and_is_passed(server: Server) -> None:
    """Two processes, two calls, one receiver of two checked, pages turned."""
    what = "--participants 8 --processes 2 --checked-every 2 --tiles 2 --large 1 --page-seconds 2"
    result = load(f"run {server.url} {SMALL} {FAR} {what} --seconds 3 --server-pid {server.pid} --json")
    assert result.code == 0, result
    row = result.row
    assert (row["verdict"], row["participants"], row["joins"], row["failures"]) == ("passed", 8, 0, {})
    assert row["in_per_second"] == pytest.approx(8 * (25 + 30 + 60), rel=0.1)
    assert row["out_per_second"] == pytest.approx(8 * (25 + 30 + 60), rel=0.4)  # one or two voices
    assert row["checked_packets"] > row["out_per_second"]
    assert (row["wrong"], row["reordered"]) == (0, 0)
    assert 0 < row["latency_p50_ms"] <= row["latency_p99_ms"]
    assert 0 < row["server_cpu"] < 2
    assert row["server_memory_mb"] > 20
    server.wait(lambda server: not server.participants(), 8)  # goodbyes: silence takes 15


def test_the_table_is_for_people(server: Server) -> None:
    result = load(f"run {server.url} {SMALL} {FAR} --participants 2 --per-call 2 --seconds 1")
    assert result.code == 0, result
    heading, row = result.output.splitlines()
    assert heading.split()[:3] == ["participants", "in/s", "out/s"]
    assert row.split()[0] == "2"
    assert row.split()[-1] == "passed"


def test_participants_come_and_go(server: Server) -> None:
    what = "--participants 6 --stay-seconds 5 --pause-seconds 0.2 --vanishing 0 --minutes 0.12 --period 2.4"
    result = load(f"soak {server.url} {SMALL} {FAR} {what} --server-pid {server.pid} --json")
    assert result.code == 0, result
    rows = result.document["steps"]
    assert sum(row["left"] for row in rows) >= 3
    assert sum(row["joins"] for row in rows) >= 3
    assert all(row["wrong"] == 0 and row["failures"] == {} for row in rows)
    assert all(row["server_descriptors"] > 6 for row in rows)


def test_a_server_that_sends_no_more_has_failed(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        what = "--participants 4 --stay-seconds 60 --minutes 0.1 --period 1"
        with under_way(f"soak {server.url} {SMALL} {FAR} {what}") as soak:
            os.kill(server.pid, signal.SIGSTOP)
            output, _ = soak.communicate(timeout=60)
        os.kill(server.pid, signal.SIGCONT)
    assert soak.returncode == 1, output
    assert "nothing was received" in output


def test_ctrl_c_ends_it_politely_and_shows_what_there_is(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        what = "--participants 4 --vanishing 0 --minutes 5 --period 1"
        with under_way(f"soak {server.url} {SMALL} {FAR} {what}") as soak:
            os.killpg(soak.pid, signal.SIGINT)  # as a terminal does: to all its processes
            output, errors = soak.communicate(timeout=30)
        assert soak.returncode == 130, output
        assert "interrupted" in output
        assert "Traceback" not in errors
        server.wait(lambda server: not server.participants(), 8)  # goodbyes: silence takes 15


def test_too_few_descriptors_are_not_the_servers_fault(tmp_path: Path) -> None:
    what = "--start 2 --step 20 --most 42 --seconds 1 --pause-seconds 0.1"
    with running_server(tmp_path) as server:
        command = shlex.join(program(f"ramp {server.url} {SMALL} {FAR} {what}"))
        shell = ["sh", "-c", f"ulimit -n 30; exec {command}"]
        done = subprocess.run(shell, capture_output=True, text=True, timeout=90)
    assert done.returncode == 3, done
    assert "sft-load has no file descriptor left" in done.stdout


def test_a_ramp_says_how_many_are_held(server: Server) -> None:
    what = f"--start 2 --step 2 --most 4 --seconds 1 --server-pid {server.pid}"
    result = load(f"ramp {server.url} {SMALL} {FAR} {what}")
    assert result.code == 0, result
    assert "holds at least 4 participants" in result.output


def test_joins_are_counted_by_the_second(server: Server) -> None:
    result = load(f"joins {server.url} --participants 9 --per-call 3 --server-pid {server.pid} --json")
    assert result.code in (0, 3), result  # 3: other programs were busy, which is told
    document = result.document
    assert (document["verdict"] == "measured") is (result.code == 0)
    assert document["joins"] == 9
    assert document["joins_per_second_wall"] > 0.5
    assert document["server_ms_per_join"] > 0.1
    server.wait(lambda server: not server.participants(), 8)  # goodbyes: silence takes 15


def test_lost_packets_are_found(tmp_path: Path) -> None:
    """One in twenty does not come through a bad link; whoever is checked and whoever is not sees it."""
    ports = free_udp_range(6)
    first, last = map(int, ports.split("-"))
    chance = random.Random(1)

    def drops(data: bytes) -> bool:
        return 128 <= data[0] <= 191 and not 192 <= data[1] <= 223 and chance.random() < 0.05

    udp = {"ports": ports, "addresses": [{"bind": "127.0.0.1", "advertise": ADDRESS}]}
    with (
        running_server(tmp_path, plugins={"transport_udp": udp}) as server,
        LossyLink(range(first, last + 1), drops),
    ):
        result = load(f"run {server.url} {SMALL} {FAR} --participants 4 --seconds 4 --json")
    assert result.code == 1, result
    row = result.row
    assert row["verdict"] == "failed"
    assert row["loss"] == pytest.approx(0.05, rel=0.4)
    assert row["wrong"] == 0
    assert "loss" in row["reasons"][0]


def test_who_is_the_bottleneck_himself_gives_no_verdict(server: Server) -> None:
    """More packets than one process can make."""
    heavy = "--settle-seconds 1 --per-call 2 --layer l:30000:1000 --tiles 0 --speakers 0"
    result = load(f"run {server.url} {heavy} --participants 4 --seconds 3 --json")
    assert result.code == 3, result
    assert result.row["verdict"] == "none"
    assert any("of a core" in reason or "late" in reason for reason in result.row["reasons"])


def test_a_server_that_refuses_is_no_load(tmp_path: Path) -> None:
    with running_server(tmp_path, limits={"participants_per_call": 2}) as server:
        result = load(f"run {server.url} {SMALL} --participants 4 --pause-seconds 0.1")
    assert result.code == 2
    assert "only 2 of 4 participants: CONFCONN: status 4 limit reached" in result.errors


def test_a_server_that_is_not_there_is_no_load() -> None:
    (port,) = free_tcp_ports(1)
    result = load(f"run http://127.0.0.1:{port} --participants 2 --pause-seconds 0.1")
    assert result.code == 2
    assert "Connection refused" in result.errors
    assert load("run sft.example.net").code == 2


def test_a_full_ice_server_behind_tls_is_joined(tmp_path: Path) -> None:
    certificates = tmp_path / "certificates"
    program = [str(Path(sys.executable).with_name("sft-serve")), "dev-cert", "--out", str(certificates)]
    subprocess.run([*program, "--host", "127.0.0.1"], check=True, capture_output=True)
    (listen,) = free_tcp_ports(1)
    tls = {
        "listen": f"127.0.0.1:{listen}",
        "url": f"https://127.0.0.1:{listen}",
        "certificate": str(next(certificates.glob("*cert*.pem"))),
        "key": str(next(certificates.glob("*key*.pem"))),
    }
    with running_server(tmp_path / "server", server=tls, ice={"mode": "full"}) as server:
        fleet = Fleet(read_url(server.url, insecure=True))
        try:
            clients = fleet.gather(2)
            assert all(client.open_at for client in clients)
        finally:
            fleet.close()
        refused = load(f"run {server.url} {SMALL} --participants 2 --pause-seconds 0.1")
        assert refused.code == 2
        assert "certificate" in refused.errors
