"""The C code compiled once more, so that a read or write outside of what it has ends the process: its own
tests, and mutants of packets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sft_engine_native", reason="*** the native engine is not compiled ***")

TESTS = Path(__file__).parent
PLUGIN, ROOT = TESTS.parent, TESTS.parents[2]
FLAGS = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined"
OWN = ("test_native_engine.py", "test_one_port.py", "test_waiter.py", "test_way_in.py")

Environment = dict[str, str]


def library(name: str) -> Path | None:
    if shutil.which("cc") is None:
        return None
    told = subprocess.run(["cc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = Path(told.stdout.strip())
    return path if path.is_absolute() else None  # the bare name: it has none


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The environment of processes in which the extension is the one with sanitizers."""
    asan = library("libasan.so")
    if asan is None:
        pytest.skip("*** no cc with libasan: the native engine is not tested with sanitizers ***")
    folder = tmp_path_factory.mktemp("sanitized")
    for path in PLUGIN.glob("*.[ch]"):
        shutil.copy(path, folder)
    for name in ("setup.py", "build_engine.py"):
        shutil.copy(PLUGIN / name, folder)
    package = PLUGIN / "sft_engine_native"
    shutil.copytree(package, folder / package.name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    compiler = folder / "cc-sanitized"  # its flags come last, whatever Python and setup.py say
    compiler.write_text(f'#!/bin/sh\nexec cc "$@" {FLAGS}\n')
    compiler.chmod(0o755)
    built = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env=os.environ | {"CC": str(compiler), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return os.environ | {
        "LD_PRELOAD": str(asan.resolve()),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps much until it ends
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONMALLOC": "malloc",  # each object is a block of its own, with a fence around it
        "PYTHONPATH": str(folder),
    }


def run(environment: Environment, *arguments: str | Path, timeout: float) -> str:
    """What Python printed with these arguments."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr
    return done.stdout


def test_the_extension_under_test_is_the_one_with_sanitizers(sanitized: Environment) -> None:
    where = "from sft_engine_native import _engine, _way_in; print(_engine.__file__, _way_in.__file__)"
    for path in run(sanitized, "-c", where, timeout=60).split():
        assert path.startswith(sanitized["PYTHONPATH"])
        assert b"__asan_report_load1" in Path(path).read_bytes()


def test_its_own_tests_touch_nothing_else(sanitized: Environment) -> None:
    # -s: what ends the process is told on a stderr that pytest would keep
    run(sanitized, "-m", "pytest", "-q", "-s", *(TESTS / name for name in OWN), timeout=300)


def test_mutants_touch_nothing_else_and_do_the_same_as_in_python(
    sanitized: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(sanitized, TESTS / "fuzz_way_in.py", "--count", "10000", timeout=300).splitlines()[-1]
    with capsys.disabled():
        print(f"\nnative way in: {told}")


@pytest.mark.nightly
def test_a_million_mutants_touch_nothing_else_and_do_the_same_as_in_python(sanitized: Environment) -> None:
    run(sanitized, TESTS / "fuzz_way_in.py", "--count", "1000000", "--seed", "1000", timeout=7200)
