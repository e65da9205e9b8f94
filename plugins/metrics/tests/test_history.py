"""Sums over workers go on rising, however many processes have died."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from sft.plugin import Distribution, PathKind, PathTotal, QualitySnapshot, RepairSnapshot, Snapshot, Traffic
from sft_metrics.collector import Collector
from sft_metrics.exposition import expose
from support.metrics import Gateway, make_snapshot, samples

GATEWAYS = ("sft_http_", 'sft_joins_total{outcome="no_port"}')
"""What the gateway counts by itself."""


def snapshot(pid: int) -> Snapshot:
    """A process that has counted everything once."""
    once = {"x": Distribution((1.0,), (1, 0), 0.5)}
    return make_snapshot(
        pid=pid,
        calls_total=1,
        participants_total=1,
        participants_left_total={"hangup": 1},
        paths_left_total=(PathTotal(kind=PathKind("udp", "host", "host"), participants=1),),
        joins={"established": 1},
        join_phases=once,
        received={"audio": Traffic(1, 1)},
        sent={"audio": Traffic(1, 1)},
        repair=RepairSnapshot(
            missing={"lost": 1},
            asked=1,
            nacked=1,
            repeated=1,
            keyframes_wanted={"join": 1},
            keyframes_asked=1,
        ),
        quality=QualitySnapshot(
            round_trip=once["x"], loss_received=once, loss_sent=once, jitter_received=once, jitter_sent=once
        ),
        degradations={"remb": 1},
        drops={"empty": 1},
        faults={"plugin.hook": 1},
    )


def test_each_of_many_processes_counts_once() -> None:
    gateway = Gateway([])
    registry = CollectorRegistry()
    registry.register(Collector(gateway))  # type: ignore[arg-type]  # no more of it is asked for

    def sums(pid: int) -> dict[str, float]:
        gateway.workers_now = [snapshot(pid)]
        return {
            name: value
            for name, value in samples(expose(registry, None).decode()).items()
            if name.partition("{")[0].endswith(("_total", "_count", "_sum", "_bucket"))
            and "worker=" not in name
            and not name.startswith(GATEWAYS)
        }

    first = sums(1)
    assert len(first) > 40
    assert set(first.values()) == {1, 0.5}
    for pid in range(2, 151):
        last = sums(pid)
    assert last == {name: 150 * value for name, value in first.items()}


def test_words_that_only_some_processes_knew_stay() -> None:
    gateway = Gateway([])
    registry = CollectorRegistry()
    registry.register(Collector(gateway))  # type: ignore[arg-type]  # no more of it is asked for
    for pid, drops in enumerate([{"empty": 1}, {"stranger": 2}, {"empty": 4}, {}]):
        gateway.workers_now = [make_snapshot(pid=pid, drops=drops)]
        values = samples(expose(registry, None).decode())
    assert values['sft_drops_total{reason="empty"}'] == 5
    assert values['sft_drops_total{reason="stranger"}'] == 2
