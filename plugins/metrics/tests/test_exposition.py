"""What Prometheus gets to see."""

from __future__ import annotations

import time
from typing import Any

import attrs
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from sft import __version__
from sft.plugin import (
    CallSnapshot,
    Distribution,
    DrainState,
    ParticipantSnapshot,
    PathKind,
    PathTotal,
    RepairSnapshot,
    Snapshot,
    Traffic,
    TransportStats,
)
from sft_metrics.collector import Collector
from sft_metrics.exposition import expose
from support.metrics import INSTANCE, NAME_OF_THE_ORIGINAL, Gateway, check_metrics, make_snapshot, samples

ORIGINAL = {
    "sft_uptime": "counter",
    "sft_build_info": "gauge",
    "sft_participants": "gauge",
    "sft_calls": "gauge",
    "sft_participants_total": "counter",
    "sft_calls_total": "counter",
}
"""Wire's sftd: protocol section 1.5."""


def exposition(*workers: Snapshot, uptime: float | None = None, **instance: Any) -> str:
    registry = CollectorRegistry()
    gateway = Gateway(workers, attrs.evolve(INSTANCE, **instance))
    registry.register(Collector(gateway))  # type: ignore[arg-type]  # no more of it is asked for
    return expose(registry, uptime).decode()


def test_the_series_of_the_original_have_its_names_and_types() -> None:
    worker = make_snapshot(calls=2, size=4, participants_total=11, calls_total=5)
    text = exposition(worker, uptime=12.5)
    lines = text.splitlines()
    for name, kind in ORIGINAL.items():
        assert lines.count(f"# TYPE {name} {kind}") == 1
        assert sum(line.startswith(f"# HELP {name} ") for line in lines) == 1
    values = samples(text)
    assert "sft_uptime 12.5" in lines
    assert values[f'sft_build_info{{version="{__version__}"}}'] == 1
    assert (values["sft_participants"], values["sft_calls"]) == (8, 2)
    assert (values["sft_participants_total"], values["sft_calls_total"]) == (11, 5)


def test_promtool_finds_fault_with_one_name_of_the_original_only() -> None:
    workers = [make_snapshot(index, calls=1, faults={"p.sft_run": 1}) for index in range(2)]
    assert check_metrics(exposition(*workers, uptime=1.0)) == [NAME_OF_THE_ORIGINAL]
    assert check_metrics(exposition(*workers)) == []


def test_workers_are_summed_and_their_processes_told_apart() -> None:
    lag = Distribution((0.01, 0.1), (5, 2, 1), 0.5)
    workers = [
        make_snapshot(
            index,
            calls=index + 1,
            size=2,
            calls_total=10,
            joins={"established": 3, "no_path": index},
            received={"audio": Traffic(100, 1000)},
            drops={"srtp_auth": 2},
            join_phases={"ice": Distribution((0.1,), (1, 1), 0.4)},
            repair=RepairSnapshot(missing={"lost": 2}, keyframes_wanted={"join": 1}, keyframes_asked=1),
            transports={"udp": TransportStats(ports_total=10, ports_free=4 + index)},
            loop_lag=lag,
            cpu_seconds=1.5 + index,
            memory_bytes=1000,
            descriptors=50 + index,
            max_descriptors=1024,
        )
        for index in range(3)
    ]
    values = samples(exposition(*workers))
    assert (values["sft_participants"], values["sft_calls"], values["sft_calls_total"]) == (12, 6, 30)
    assert values['sft_joins_total{outcome="established"}'] == 9
    assert values['sft_joins_total{outcome="no_path"}'] == 3
    assert values['sft_joins_total{outcome="no_port"}'] == 1, "the gateway's"
    assert values['sft_received_packets_total{kind="audio"}'] == 300
    assert values['sft_received_bytes_total{kind="audio"}'] == 3000
    assert values['sft_drops_total{reason="srtp_auth"}'] == 6
    assert values['sft_upstream_missing_packets_total{outcome="lost"}'] == 6
    assert values['sft_keyframes_wanted_total{cause="join"}'] == values["sft_keyframe_requests_total"] == 3
    phase = 'sft_join_phase_duration_seconds_{}{{{}phase="ice"}}'
    assert values[phase.format("bucket", 'le="0.1",')] == 3
    assert values[phase.format("bucket", 'le="+Inf",')] == values[phase.format("count", "")] == 6
    for index in range(3):
        assert values[f'sft_worker_cpu_seconds_total{{worker="{index}"}}'] == 1.5 + index
        assert values[f'sft_worker_open_fds{{worker="{index}"}}'] == 50 + index
        assert values[f'sft_worker_max_fds{{worker="{index}"}}'] == 1024
        assert values[f'sft_transport_ports_free{{transport="udp",worker="{index}"}}'] == 4 + index
        assert values[f'sft_worker_participants{{worker="{index}"}}'] == 2 * (index + 1)
        assert values[f'sft_worker_loop_lag_seconds_bucket{{le="0.1",worker="{index}"}}'] == 7
        assert values[f'sft_worker_loop_lag_seconds_count{{worker="{index}"}}'] == 8


def test_the_number_of_series_does_not_grow_with_calls_and_participants() -> None:
    def count(calls: int, size: int) -> int:
        return len(samples(exposition(make_snapshot(calls=calls, size=size))))

    assert count(100, 20) == count(1, 1)


def test_no_label_and_no_value_names_anybody() -> None:
    text = exposition(make_snapshot(calls=3, size=5))
    assert "0" * 31 not in text
    labels = {
        name
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        for name in sample.labels
    }
    assert labels.isdisjoint({"call", "user", "client", "participant", "address"})


def test_those_who_left_are_counted_by_their_reason() -> None:
    workers = [
        make_snapshot(index, participants_left_total={"hangup": 2, "silence": 0}) for index in range(2)
    ]
    values = samples(exposition(*workers))
    assert values['sft_participants_left_total{reason="hangup"}'] == 4
    assert values['sft_participants_left_total{reason="silence"}'] == 0


def test_paths_of_those_who_are_here_and_of_those_who_left() -> None:
    left = (PathTotal(kind=PathKind("tcp", "host", "prflx"), participants=2),)
    values = samples(exposition(make_snapshot(calls=2, size=3, paths_left_total=left)))
    assert values['sft_paths{local="host",remote="",transport="udp"}'] == 6
    assert values['sft_paths_left_total{local="host",remote="prflx",transport="tcp"}'] == 2


def test_receivers_whose_downlink_does_not_carry_all_are_counted_by_what_limits_them() -> None:
    people = [
        ParticipantSnapshot(user="a", client="1", limited_by="remb", slots_reduced=2, slots_paused=1),
        ParticipantSnapshot(user="b", client="1", limited_by="remb", slots_reduced=1),
        ParticipantSnapshot(user="c", client="1"),
    ]
    worker = make_snapshot(degradations={"remb": 4, "loss": 0, "delay": 0})
    worker = attrs.evolve(worker, calls=(CallSnapshot(call="x", participants=tuple(people)),))
    values = samples(exposition(worker))
    assert values['sft_receivers_limited{reason="remb"}'] == 2
    assert values['sft_receivers_limited{reason="loss"}'] == 0
    assert values['sft_slots_limited{how="reduced"}'] == 3
    assert values['sft_slots_limited{how="paused"}'] == 1
    assert values['sft_degradations_total{reason="remb"}'] == 4


def test_a_server_on_its_way_out_says_so() -> None:
    assert samples(exposition(make_snapshot()))["sft_draining"] == 0
    assert samples(exposition(make_snapshot(), state=DrainState.DRAINING))["sft_draining"] == 1


def test_a_worker_that_says_nothing_any_more_is_seen() -> None:
    now = time.time()
    gateway = Gateway([attrs.evolve(make_snapshot(index), time=now - 30) for index in range(2)])
    registry = CollectorRegistry()
    registry.register(Collector(gateway))  # type: ignore[arg-type]  # no more of it is asked for
    expose(registry, None)
    gateway.workers_now = [attrs.evolve(make_snapshot(1), time=now)]
    values = samples(expose(registry, None).decode())
    assert values["sft_workers"] == 1
    assert 30 <= values['sft_worker_snapshot_age_seconds{worker="0"}'] < 35
    assert 0 <= values['sft_worker_snapshot_age_seconds{worker="1"}'] < 5


def test_a_worker_that_dies_takes_nothing_out_of_the_sums() -> None:
    gateway = Gateway([make_snapshot(0, calls=1, calls_total=5), make_snapshot(1, calls=2, calls_total=7)])
    registry = CollectorRegistry()
    registry.register(Collector(gateway))  # type: ignore[arg-type]  # no more of it is asked for
    read = lambda: samples(expose(registry, None).decode())  # noqa: E731  # read thrice below
    assert (read()["sft_calls"], read()["sft_calls_total"], read()["sft_workers"]) == (3, 12, 2)
    gateway.workers_now = [make_snapshot(1, calls=2, calls_total=8)]
    values = read()
    assert (values["sft_calls"], values["sft_calls_total"], values["sft_workers"]) == (2, 13, 1)
    assert values['sft_worker_restarts_total{worker="0"}'] == 0
    gateway.workers_now = [make_snapshot(0, pid=9, calls_total=1), *gateway.workers_now]
    values = read()
    assert (values["sft_calls"], values["sft_calls_total"], values["sft_workers"]) == (2, 14, 2)
    assert values['sft_worker_restarts_total{worker="0"}'] == 1
    assert values['sft_worker_restarts_total{worker="1"}'] == 0


def test_without_a_worker_there_are_still_numbers() -> None:
    values = samples(exposition())
    assert (values["sft_workers"], values["sft_calls"], values["sft_round_trip_seconds_count"]) == (0, 0, 0)


def test_faults_are_counted_by_plugin_and_hook() -> None:
    workers = [make_snapshot(index, faults={"my_plugin.sft_run": 2}) for index in range(2)]
    values = samples(exposition(*workers, faults={"my_plugin.sft_run": 1, "my_plugin.sft_snapshot": 3}))
    assert values['sft_plugin_faults_total{hook="sft_run",plugin="my_plugin"}'] == 5
    assert values['sft_plugin_faults_total{hook="sft_snapshot",plugin="my_plugin"}'] == 3
