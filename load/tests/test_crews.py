"""What becomes of a load whose processes fail."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sft_load.crew import Settings
from sft_load.crews import Crews
from sft_load.errors import OwnError
from sft_load.plan import Plan


@contextmanager
def crew(plan: Plan) -> Iterator[tuple[Crews, multiprocessing.Process]]:
    """One process, with nobody to talk to."""
    with Crews(Settings(url="http://127.0.0.1:1", plan=plan, calls=("a" * 32,))) as crews:
        (child,) = multiprocessing.active_children()
        yield crews, child  # type: ignore[misc]  # it is one, in typeshed only of its base


def test_a_process_that_was_killed_is_told() -> None:
    with crew(Plan()) as (crews, child):
        child.kill()
        child.join()
        for ask in (lambda: crews.resize(2), crews.moment):
            with pytest.raises(OwnError, match="a process of sft-load has died"):
                ask()


def test_a_process_that_failed_tells_why() -> None:
    with crew(Plan(spurt_seconds=0.0)) as (crews, child):
        crews.resize(2)
        child.join()
        with pytest.raises(OwnError, match="ZeroDivisionError"):
            crews.moment()


def test_the_processes_do_not_hear_of_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGINT)
    with crew(Plan()) as (crews, child):
        assert child.pid is not None
        os.kill(child.pid, signal.SIGINT)
        assert crews.moment().participants == 0
    assert child.exitcode == 0
    assert signal.getsignal(signal.SIGINT) is before
