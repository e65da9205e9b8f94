"""Workers that died: what they counted still counts.

A sum over workers must not fall when one is replaced: Prometheus would take that for a restart of the whole,
and its rates would show all that was ever counted as if it had just happened.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence

import attrs

from sft.plugin import Snapshot

KEPT = 100
"""Dead workers remembered; a server that has lost more has other worries than its rates."""


class History:
    """Remembers the newest snapshot of each worker, from one scrape to the next."""

    def __init__(self) -> None:
        self._newest: dict[int, Snapshot] = {}
        self._dead: deque[Snapshot] = deque(maxlen=KEPT)
        self.restarts: Counter[str] = Counter()
        """By worker."""

    def counted(self, workers: Sequence[Snapshot]) -> Sequence[Snapshot]:
        """All that counters are sums over: ``workers``, which live, those that died, and those of whom
        nothing is known at the moment."""
        for worker in workers:
            before = self._newest.get(worker.worker)
            if before is not None and before.pid != worker.pid:
                self._dead.append(attrs.evolve(before, calls=()))
                self.restarts[str(worker.worker)] += 1
            self._newest[worker.worker] = worker
            self.restarts[str(worker.worker)] += 0
        return [*self._newest.values(), *self._dead]
