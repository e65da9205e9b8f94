"""Every fuzz target for a while, and what part of the parsers it reaches."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

RUNNER = Path(__file__).parent / "runner.py"
spec = importlib.util.spec_from_file_location("fuzz_runner", RUNNER)
assert spec is not None
assert spec.loader is not None
runner = importlib.util.module_from_spec(spec)
spec.loader.exec_module(runner)

COUNT = {"rtcp": 3_000, "sctp": 3_000}
"""Inputs per target where 10,000 take too long."""


def test_every_parser_of_network_input_has_a_target() -> None:
    expected = {"framing", "ice", "messages", "rtcp", "rtp", "sctp", "sdp", "stun", "turn"}
    assert set(runner.TARGETS) == expected == set(runner.PARSERS)


@pytest.mark.parametrize("target", runner.TARGETS)
def test_mutated_input_raises_nothing_but_bad_packet(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In a process of its own, because coverage is measured; the report is printed for the log."""
    count = COUNT.get(target, 10_000)
    done = subprocess.run(
        [sys.executable, RUNNER, target, "--count", str(count), "--coverage"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=RUNNER.parents[2],
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert f"{target}: {count} inputs" in done.stdout
    with capsys.disabled():
        print(f"\n{done.stdout}")


@pytest.mark.nightly
@pytest.mark.parametrize("target", runner.TARGETS)
def test_a_million_mutants_raise_nothing_but_bad_packet(target: str) -> None:
    assert runner.run(target, 50_000 if target == "sctp" else 1_000_000, seed=2)
