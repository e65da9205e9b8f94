"""Workers that died: what they counted still counts.

A sum over workers must not fall when one is replaced: Prometheus would take that for a restart of the whole,
and its rates would show all that was ever counted as if it had just happened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import attrs

from sft.plugin import Distribution, PathTotal, Snapshot
from sft_metrics.families import merge

COUNTED = (
    "calls_total",
    "participants_total",
    "participants_left_total",
    "joins",
    "join_phases",
    "received",
    "sent",
    "repair",
    "quality",
    "degradations",
    "drops",
    "faults",
)
"""What of a snapshot is summed over the workers, besides ``paths_left_total``."""


class History:
    """Remembers the newest snapshot of each worker, from scrape to scrape, and the sum of those that died."""

    def __init__(self) -> None:
        self.newest: dict[int, Snapshot] = {}
        """By the worker's index, also of workers that say nothing at the moment."""
        self._dead: list[Snapshot] = []
        """At most one: what all of them counted."""
        self.restarts: Counter[str] = Counter()
        """By worker."""

    def counted(self, workers: Sequence[Snapshot]) -> Sequence[Snapshot]:
        """All that counters are sums over: ``workers``, which live, those that died, and those of whom
        nothing is known at the moment."""
        for worker in workers:
            before = self.newest.get(worker.worker)
            if before is not None and before.pid != worker.pid:
                self._dead = [reduce(_fold, [*self._dead, attrs.evolve(before, calls=())])]
                self.restarts[str(worker.worker)] += 1
            self.newest[worker.worker] = worker
            self.restarts[str(worker.worker)] += 0
        return [*self.newest.values(), *self._dead]


def _fold(one: Snapshot, other: Snapshot) -> Snapshot:
    """What both have counted as one's. Nothing else of it means anything."""
    paths: Counter[Any] = Counter()
    for path in (*one.paths_left_total, *other.paths_left_total):
        paths[path.kind] += path.participants
    return attrs.evolve(
        one,
        paths_left_total=tuple(PathTotal(kind=kind, participants=count) for kind, count in paths.items()),
        **{name: _add(getattr(one, name), getattr(other, name)) for name in COUNTED},
    )


def _add(one: Any, other: Any) -> Any:
    """Counts, distributions, or whatever is made of them."""
    if isinstance(one, Mapping):
        return {**one, **{key: _add(one[key], more) if key in one else more for key, more in other.items()}}
    if isinstance(one, Distribution):
        return merge([one, other])
    if attrs.has(type(one)):
        names = [field.name for field in attrs.fields(type(one))]
        return attrs.evolve(one, **{name: _add(getattr(one, name), getattr(other, name)) for name in names})
    return one + other
