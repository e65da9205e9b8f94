"""Making metric families of plain values. ``values`` are by the values of the labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import TypeAlias

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from sft.plugin import Distribution, Snapshot

Labels: TypeAlias = tuple[str, ...]

NONE: Labels = ()


def gauge(name: str, help: str, values: float | Mapping[Labels, float], *labels: str) -> Metric:
    family = GaugeMetricFamily(name, help, labels=labels)
    for key, value in _by_labels(values).items():
        family.add_metric(key, value)
    return family


def counter(name: str, help: str, values: float | Mapping[Labels, float], *labels: str) -> Metric:
    """``name`` ends in ``_total``."""
    family = CounterMetricFamily(name, help, labels=labels)
    for key, value in _by_labels(values).items():
        family.add_metric(key, value)
    return family


def histogram(name: str, help: str, values: Mapping[Labels, Distribution], *labels: str) -> Metric:
    family = HistogramMetricFamily(name, help, labels=labels)
    for key, value in values.items():
        bounds = [*map(str, value.bounds), "+Inf"]
        family.add_metric(key, list(zip(bounds, accumulate(value.counts), strict=True)), value.sum)
    return family


def total(workers: Iterable[Snapshot], read: Callable[[Snapshot], Mapping[str, int]]) -> dict[Labels, float]:
    """Counts by a word, all workers together."""
    counts: Counter[str] = Counter()
    for worker in workers:
        counts.update(read(worker))
    return {(word,): count for word, count in counts.items()}


def merged(
    workers: Iterable[Snapshot], read: Callable[[Snapshot], Mapping[str, Distribution]]
) -> dict[Labels, Distribution]:
    """Distributions by a word, all workers together."""
    found: dict[str, list[Distribution]] = {}
    for worker in workers:
        for word, distribution in read(worker).items():
            found.setdefault(word, []).append(distribution)
    return {(word,): merge(distributions) for word, distributions in found.items()}


def by_worker(workers: Iterable[Snapshot], read: Callable[[Snapshot], float]) -> dict[Labels, float]:
    return {(str(worker.worker),): read(worker) for worker in workers}


def merge(distributions: Sequence[Distribution]) -> Distribution:
    """Distributions with the same bounds as one."""
    if not distributions:
        return Distribution()
    counts = tuple(map(sum, zip(*(one.counts for one in distributions), strict=True)))
    return Distribution(distributions[0].bounds, counts, sum(one.sum for one in distributions))


def _by_labels(values: float | Mapping[Labels, float]) -> Mapping[Labels, float]:
    return values if isinstance(values, Mapping) else {NONE: values}
