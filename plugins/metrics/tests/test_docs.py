"""docs/operations.md tells every series, and none that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric

from sft.calls.joins import Outcome
from sft.forwarding.keyframes import Cause
from sft.plugin import (
    Distribution,
    PathKind,
    PathTotal,
    QualitySnapshot,
    RepairSnapshot,
    Traffic,
    TransportStats,
)
from sft.server.gateway import JOINS_REFUSED
from sft_metrics.collector import Collector
from support.metrics import Gateway, make_snapshot

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text()
ROW = re.compile(r"^\| `(sft_\w+)` \| (\w+) \|([\w`, ]*)\| (.+) \|$", re.MULTILINE)


def families() -> list[Metric]:
    """All families, each with a sample."""
    distribution, traffic = Distribution(), Traffic()
    by_kind = {"audio": distribution}
    worker = make_snapshot(
        calls=1,
        faults={"plugin.hook": 1},
        participants_left_total={"hangup": 1},
        paths_left_total=(PathTotal(kind=PathKind("udp", "host", "host"), participants=1),),
        transports={"udp": TransportStats(ports_total=1, ports_free=1)},
        joins={"established": 1},
        join_phases={"ice": distribution},
        received={"audio": traffic},
        sent={"audio": traffic},
        drops={"empty": 0},
        degradations={"remb": 0},
        repair=RepairSnapshot(missing={"lost": 1}, keyframes_wanted={"join": 1}),
        quality=QualitySnapshot(
            loss_received=by_kind, loss_sent=by_kind, jitter_received=by_kind, jitter_sent=by_kind
        ),
    )
    registry = CollectorRegistry()
    registry.register(Collector(Gateway([worker])))  # type: ignore[arg-type]  # a part of it
    return list(registry.collect())


def test_the_table_has_each_series_with_its_type_and_labels_in_order() -> None:
    exposed = []
    for family in families():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        exposed.append((name, family.type, labels))
    documented = [
        (name, kind, set(re.findall(r"\w+", labels))) for name, kind, labels, _ in ROW.findall(PAGE)
    ]
    assert documented == [*exposed, ("sft_uptime", "counter", set())]


def test_each_cause_of_a_keyframe_is_told() -> None:
    (told,) = [what for name, _, _, what in ROW.findall(PAGE) if name == "sft_keyframes_wanted_total"]
    assert re.findall(r"`(\w+)`", told) == [cause.value for cause in Cause]


def test_each_outcome_of_a_join_is_told() -> None:
    table = PAGE.partition("| outcome | the join |\n|---|---|\n")[2].partition("\n\n")[0]
    told = [word for row in table.splitlines() for word in re.findall(r"`(\w+)`", row.split(" | ")[0])]
    assert sorted(told) == sorted({*Outcome, *JOINS_REFUSED})
