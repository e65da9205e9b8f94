"""What the benchmarks make of what they have measured."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "bench"
Bench = Callable[[str], ModuleType]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """Imports a benchmark. They are programs, and find each other in their own folder."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(BENCH)
    yield import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == BENCH:
            del sys.modules[name]


def run(**more: Any) -> dict[str, Any]:
    """A run with which nothing is wrong."""
    good = {
        "seconds": 5.0,
        "server_cpu": 0.45,
        "server_cpu_share": 0.09,
        "client_cpu_share": 0.3,
        "others_cpu_share": 0.01,
        "client_lost": 0,
        "due": 45_000.0,
        "received": 45_000,
        "lost": 0,
        "wrong": 0,
        "drops": {},
        "us_per_packet_out": 10.0,
        "us_per_packet_out_net": 9.0,
    }
    return good | more


def floor(**more: Any) -> dict[str, Any]:
    return run(us_per_packet_out=5.0, **more)


def verdict(bench: Bench, *runs: dict[str, Any], floor_c: dict[str, Any] | None = None) -> str:
    """Of ``forward.py``, of the call ``fan``, whose aim is 2.2 times the floor."""
    forward, traffic = bench("forward"), bench("traffic")
    floors = {"c": [floor_c or floor()] * len(runs), "direct": [floor()] * len(runs)}
    told: str = forward.judge(traffic.CALLS["fan"], floors, list(runs))["verdict"]
    return told


def test_a_run_with_which_nothing_is_wrong_is_judged_by_the_aim(bench: Bench) -> None:
    assert verdict(bench, run()) == "reached: aim 2.2 times the floor in C"
    assert verdict(bench, run(us_per_packet_out=12.0)) == "missed: aim 2.2 times the floor in C"


def test_streams_that_never_came_leave_no_gap_and_no_verdict(bench: Bench) -> None:
    assert verdict(bench, run(), run(received=27_000)) == "none: 27000 of 45000 packets came"


def test_packets_under_way_at_the_borders_are_not_missed(bench: Bench) -> None:
    assert verdict(bench, run(received=44_200), run(received=45_800)).startswith("reached")


def test_more_than_was_due_is_another_call(bench: Bench) -> None:
    assert verdict(bench, run(received=60_000)) == "none: 60000 of 45000 packets came"


def test_what_the_clients_lost_themselves_is_not_the_servers(bench: Bench) -> None:
    told = verdict(bench, run(lost=7, client_lost=7))
    assert told == "none: the clients lost 7 packets at their own sockets"


def test_a_floor_that_others_disturbed_is_nothing_to_compare_with(bench: Bench) -> None:
    assert (
        verdict(bench, run(), floor_c=floor(others_cpu_share=0.8)) == "none: other programs used 0.80 cores"
    )
    assert verdict(bench, run(), floor_c=floor(lost=3)) == "none: 3 packets were lost or wrong"


def test_a_path_that_drops_is_not_cheaper_for_it(bench: Bench) -> None:
    """What has arrived is counted, and no report passes for a packet."""
    traffic = bench("traffic")
    shape = traffic.Shape("pair", 3, (traffic.Stream(0, 100, 200, (1, 2)),))
    reception_report = bytes((0x80, 201)) + bytes(30)
    with traffic.Traffic(shape, 0.5) as far:
        for _, data, _ in far.packets():
            far.bases[1].socket.sendto(data, far.addresses[1])
            far.bases[2].socket.sendto(reception_report, far.addresses[2])
        report = far.report("half", cpu=0.001)
    assert (report["packets_in"], report["due"], report["received"]) == (50, 100, 50)
    assert report["lost"] == 50
    assert report["us_per_packet_out"] == pytest.approx(20.0)
    assert report["verdict"].startswith("none: ")


def server_that_carries(most: float, **more: Any) -> Callable[[float], dict[str, Any]]:
    """Loses what is above ``most`` times the call's packets."""

    def hold(speed: float) -> dict[str, Any]:
        due = 1000.0 * speed
        lost = max(0.0, due - 1000 * most)
        share = min(1.0, speed / most) * 0.96
        step = run(due=due, received=due - lost, lost=lost, server_cpu_share=share, server_cpu=5 * share)
        return step | {"objection": "", "drops": {"kernel": lost, "rtp_late": 0}} | more

    return hold


@pytest.mark.parametrize("most", [2.0, 2.4, 2.6, 7.0, 30.0])
def test_saturation_is_found_to_a_small_step(bench: Bench, most: float) -> None:
    found = bench("saturation").climb(server_that_carries(most))
    assert most * 200 / 1.06 <= found["packets_per_second"] <= most * 200 * 1.006
    assert found["packets_per_second_per_core"] == pytest.approx(most * 1000 / 4.8, rel=0.001)
    assert "packets/s missing at 96% of a core; dropped: " in found["limit"]
    assert found["verdict"] == ""


def test_a_full_core_ends_it(bench: Bench) -> None:
    found = bench("saturation").climb(server_that_carries(100.0, server_cpu_share=0.98))
    assert found["packets_per_second"] == 400
    assert (found["limit"], found["verdict"]) == ("its core is full", "")


def test_a_server_that_does_not_carry_the_first_step_has_no_figure(bench: Bench) -> None:
    found = bench("saturation").climb(server_that_carries(1.0))
    assert found["packets_per_second"] == found["packets_per_second_per_core"] == 0
    assert found["limit"] == "50.0% of 400 packets/s missing at 96% of a core; dropped: 1000.0 x kernel"
    assert found["verdict"] == "none: the first step was not carried"


def test_streams_that_never_come_are_not_carried(bench: Bench) -> None:
    found = bench("saturation").climb(server_that_carries(3.0, lost=0))
    assert found["packets_per_second"] <= 3.0 * 200 * 1.03


def test_a_limit_of_the_clients_is_not_taken_for_the_servers(bench: Bench) -> None:
    server = server_that_carries(3.0)

    def hold(speed: float) -> dict[str, Any]:
        own = "none: the clients lost 9 packets at their own sockets" if speed > 3.0 else ""
        return server(speed) | {"objection": own}

    found = bench("saturation").climb(hold)
    assert found["packets_per_second"] == 500
    assert found["verdict"] == "none: the clients lost 9 packets at their own sockets; this is the least"


def test_what_is_carried_on_a_busy_machine_is_the_least(bench: Bench) -> None:
    busy = server_that_carries(7.0, objection="none: other programs used 0.50 cores")
    found = bench("saturation").climb(busy)
    assert 7.0 * 200 / 1.25 <= found["packets_per_second"] <= 7.0 * 200
    assert found["verdict"] == "none: other programs used 0.50 cores; this is the least"


def test_transports_that_lost_packets_have_no_verdict(bench: Bench) -> None:
    good = {"us_in": 8.0, "us_out": 14.0, "lost_in": 0.0, "lost_out": 0.0}
    shares = {"client_cpu_share": 0.2, "others_cpu_share": 0.0}
    summary = bench("transports").summary
    assert summary("udp", [good | shares])["verdict"] == ""
    lossy = good | shares | {"lost_out": 4.0}
    assert summary("udp", [good | shares, lossy])["verdict"] == "none: 4 packets were lost"
    busy = good | shares | {"others_cpu_share": 0.5}
    assert summary("udp", [busy])["verdict"] == "none: other programs used 0.50 cores"


def test_the_table_shows_what_the_packet_path_lost_and_why(bench: Bench) -> None:
    one = {
        "name": "python engine",
        "us_per_packet_out": 9.0,
        "times floor (c)": 1.6,
        "verdict": "none: 7 packets were lost or wrong",
        "drops": {"srtp_replay": 7},
    }
    assert bench("run").rows({"fanout": {"call": "fan", "runs": [one]}}) == [
        (
            "packet path: fan, python engine",
            "9.00 us a packet out, 1.6 x floor (c)",
            "none: 7 packets were lost or wrong (dropped: 7 x srtp_replay)",
        )
    ]


def test_the_table_shows_saturation_of_each_engine(bench: Bench) -> None:
    one = {
        "packets_per_second": 61_234,
        "packets_per_second_per_core": 64_000,
        "limit": "its core is full",
        "verdict": "",
    }
    assert bench("run").rows({"saturation": {"call": "fan", "variants": {"native": one}}}) == [
        ("saturation: fan, native", "61,234 packets/s out, 64,000 per core", "limit: its core is full")
    ]


def test_a_benchmark_that_failed_has_a_row(bench: Bench) -> None:
    assert bench("run").rows({"size": {"failed": "exit code 1"}}) == [("size", "-", "exit code 1")]


def test_every_benchmark_of_the_table_has_rows(bench: Bench) -> None:
    table = bench("run")
    assert set(table.QUICK) == set(table.ROWS)
