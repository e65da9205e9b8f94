"""What the command prints and how it ends, against a load that is a formula."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from sft_load import cli
from sft_load.crew import Settings
from sft_load.errors import LoadError, OwnError
from sft_load.figures import Figures, Sample
from sft_load.window import Moment

URL = "http://127.0.0.1:1"
RAMP = f"ramp {URL} --start 2 --step 2 --most 6 --seconds 1e-6 --settle-seconds 0"
SOAK = f"soak {URL} --participants 4 --minutes 1 --period 1e-6 --settle-seconds 0"


class Crews:
    """Everybody is in at once, until the load is asked for the ``last`` time and ``fault`` is raised."""

    last = 10**9
    fault: BaseException = LoadError("never")

    def __init__(self, settings: Settings, server_pid: int | None) -> None:
        self.plan = settings.plan
        self._total = self._asked = 0

    def __enter__(self) -> Crews:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def resize(self, total: int) -> None:
        self._total = total

    def moment(self) -> Moment:
        self._asked += 1
        if self._asked > self.last:
            raise self.fault
        figures = Figures(sent=100 * self._asked, received=200 * self._asked)
        return Moment((Sample(float(self._asked), self._total, figures),))


Failing = Callable[[BaseException, int], None]


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Have the load fail when it is asked for the so-many-th time: three times for each step."""

    def fail(fault: BaseException, last: int) -> None:
        monkeypatch.setattr(Crews, "fault", fault)
        monkeypatch.setattr(Crews, "last", last)

    monkeypatch.setattr(cli, "Crews", Crews)
    return fail


def call(arguments: str) -> Result:
    return CliRunner().invoke(cli.main, arguments.split())


def document(result: Result) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(result.stdout)
    return read


@pytest.mark.parametrize(
    "arguments",
    [
        f"run {URL} --seconds 0",
        f"run {URL} --seconds nan",
        f"run {URL} --seconds inf",
        f"run {URL} --joins-per-second 0",
        f"run {URL} --spurt-seconds 0",
        f"run {URL} --audio-rate 0",
        f"run {URL} --page-seconds -1",
        f"run {URL} --stay-seconds -1",
        f"run {URL} --pause-seconds -1",
        f"run {URL} --settle-seconds -1",
        f"run {URL} --vanishing 1.1",
        f"run {URL} --max-loss -1",
        f"run {URL} --layer l:inf",
        f"run {URL} --layer l:nan",
        f"run {URL} --layer l:60 --layer l:150",
        f"ramp {URL} --start 3 --most 2",
        f"soak {URL} --minutes 0",
        f"soak {URL} --period 0",
        f"soak {URL} --participants 1000 --stay-seconds 60",  # at ten joins per second
        "run http://[::1",
        "run http://host:port",
    ],
)
def test_what_makes_no_load_is_refused_in_a_line(arguments: str) -> None:
    result = call(arguments)
    assert result.exit_code == 2, result.output
    assert "Error: " in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", ["run", "joins"])
def test_a_server_process_that_is_not_there_is_told(command: str) -> None:
    result = call(f"{command} {URL} --server-pid 4194305")  # more than there can be
    assert result.exit_code == 2
    assert result.stderr == "Error: process 4194305 of the server: No such file or directory\n"


def test_what_nobody_has_thought_of_is_not_the_servers_fault(failing: Failing) -> None:
    failing(ZeroDivisionError("as it happens"), 3)
    result = call(RAMP)
    assert result.exit_code == 2
    assert "ZeroDivisionError: as it happens" in result.stderr


def test_a_ramp_into_the_servers_own_limit_tells_what_was_held(failing: Failing) -> None:
    failing(LoadError("only 4 of 6 participants: limit reached"), 6)
    result = call(f"{RAMP} --json")
    assert result.exit_code == 1, result.output
    told = document(result)
    assert (told["holds"], told["limit_found"]) == (4, True)
    assert [step["participants"] for step in told["steps"]] == [2, 4]
    assert told["ended"] == "only 4 of 6 participants: limit reached"
    assert "holds 4 participants\nended before its time: only 4 of 6" in call(RAMP).stdout


def test_a_soak_whose_server_ends_has_failed(failing: Failing) -> None:
    failing(LoadError("process 7 of the server: No such file or directory"), 6)
    result = call(f"{SOAK} --json")
    assert result.exit_code == 1, result.output
    told = document(result)
    assert told["verdict"] == "failed"
    assert told["reasons"] == ["process 7 of the server: No such file or directory"]
    assert len(told["steps"]) == 2


def test_a_fault_of_our_own_says_nothing_of_the_server(failing: Failing) -> None:
    failing(OwnError("a process of sft-load has died"), 6)
    result = call(f"{SOAK} --json")
    assert result.exit_code == 3, result.output
    assert document(result)["verdict"] == "none"


def test_before_anything_was_measured_it_is_no_load(failing: Failing) -> None:
    failing(LoadError("only 0 of 2 participants: no answer"), 0)
    result = call(f"{RAMP} --json")
    assert (result.exit_code, result.stdout) == (2, "")


def test_who_interrupts_gets_what_there_is(failing: Failing) -> None:
    failing(KeyboardInterrupt(), 6)
    result = call(f"{SOAK} --json")
    assert result.exit_code == 130, result.output
    assert len(document(result)["steps"]) == 2
    failing(KeyboardInterrupt(), 0)
    assert call(f"{SOAK} --json").exit_code == 130


def test_the_progress_line_makes_room_for_each_row(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    class Progress:
        def __call__(self, text: str) -> None:
            seen.append("progress")

        def clear(self) -> None:
            seen.append("clear")

    monkeypatch.setattr(cli, "ProgressLine", Progress)
    monkeypatch.setattr(cli, "Table", lambda server: SimpleNamespace(add=lambda step: seen.append("row")))
    assert call(RAMP).exit_code == 0
    assert seen == ["progress", "clear", "row"] * 3 + ["clear"]
