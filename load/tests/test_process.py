"""What /proc says of processes, while they come and go."""

from __future__ import annotations

import subprocess
import sys

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
