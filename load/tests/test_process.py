"""What /proc says of processes, while they come and go."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from itertools import pairwise

import pytest

from sft_load import process
from sft_load.crews import measure
from sft_load.errors import LoadError


def test_a_process_counts_with_all_that_descend_from_it() -> None:
    child = "print(1, flush=True); input()"
    sleeper = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{child}'])"
    parent = subprocess.Popen(
        [sys.executable, "-c", sleeper], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    parent.stdout.readline()  # the child is up
    pids = process.family(parent.pid)
    assert len(pids) == 2
    usage = measure(parent.pid)
    assert usage.memory > process.memory(parent.pid) > 0
    assert usage.cpu > process.cpu(parent.pid) > 0
    assert usage.descriptors >= 6
    parent.communicate("\n")


def test_threads_that_end_meanwhile_are_no_trouble() -> None:
    churn = "import threading\nprint(flush=True)\nwhile True: threading.Thread(target=int).start()"
    churning = subprocess.Popen([sys.executable, "-c", churn], stdout=subprocess.PIPE)
    try:
        assert churning.stdout is not None
        churning.stdout.readline()  # it is under way
        for _ in range(3000):
            assert process.cpu(churning.pid) >= 0
            assert process.family(churning.pid) == [churning.pid]
    finally:
        churning.kill()
        churning.communicate()


def test_a_server_that_is_not_there_is_told() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with pytest.raises(LoadError, match=f"process {gone.pid} of the server"):
        measure(gone.pid)


BURNS = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)"


def running(code: str) -> subprocess.Popen[str]:
    """A Python process that has printed a line."""
    started = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    started.stdout.readline()
    return started


def test_the_cpu_of_a_worker_that_has_ended_is_kept() -> None:
    code = (
        "import subprocess, sys\n"
        f"worker = subprocess.Popen([sys.executable, '-c', {BURNS + '; time.sleep(60)'!r}])\n"
        "sys.stdin.readline(); worker.kill(); worker.wait(); print(flush=True); input()"
    )
    server = running(code)  # the line is the worker's
    before = measure(server.pid)
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("\n")
    server.stdin.flush()
    server.stdout.readline()
    assert process.family(server.pid) == [server.pid]
    after = measure(server.pid)
    assert before.cpu > 0.3
    assert after.cpu >= before.cpu - 0.02  # ticks
    server.communicate("\n")


def test_the_cpu_of_a_thread_that_has_ended_is_kept() -> None:
    code = (
        f"import threading\nthread = threading.Thread(target=exec, args=({BURNS!r},))\n"
        "thread.start(); thread.join(); input()"
    )
    server = running(code)
    assert process.cpu(server.pid) >= 0.3
    server.communicate("\n")


def test_a_worker_that_ends_while_it_is_read_is_left_out() -> None:
    server = running("import subprocess\nprint(flush=True)\nwhile True: subprocess.run(['true'])")
    try:
        readings = [measure(server.pid).cpu for _ in range(300)]
        assert all(after >= before - 0.03 for before, after in pairwise(readings))
    finally:
        server.kill()
        server.communicate()


def test_a_worker_that_nobody_has_waited_for_yet_has_no_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root may not even look."""
    listdir = os.listdir

    def refuse(path: str) -> list[str]:
        if str(path).endswith("/fd"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return listdir(path)

    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    monkeypatch.setattr(os, "listdir", refuse)
    assert measure(ended.pid).descriptors == 0
    with pytest.raises(LoadError, match="Permission denied"):
        measure(os.getpid())
    ended.wait()
