"""Joins and the HTTP requests they come with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from prometheus_client import Metric

from sft.plugin import InstanceSnapshot, Snapshot
from sft_metrics.families import NONE, Labels, counter, gauge, histogram, merged, total


def families(
    instance: InstanceSnapshot, workers: Sequence[Snapshot], counted: Sequence[Snapshot]
) -> Iterator[Metric]:
    yield counter(
        "sft_joins_total",
        "Joins that have ended, by outcome: established, what was missing, or why there was no offer.",
        total(counted, lambda worker: worker.joins)
        | {(word,): count for word, count in instance.joins_refused.items()},
        "outcome",
    )
    yield histogram(
        "sft_join_phase_duration_seconds",
        "What each phase added to a join: answer by HTTP, ICE, DTLS, data channel, first packet of media.",
        merged(counted, lambda worker: worker.join_phases),
        "phase",
    )
    yield counter(
        "sft_http_requests_total",
        "Requests to /sft/<call> and /ice/<call>, by outcome.",
        {(word,): count for word, count in instance.outcomes.items()},
        "outcome",
    )
    yield histogram(
        "sft_http_request_duration_seconds",
        "From the end of a request's body to its answer.",
        {NONE: instance.request_seconds},
    )
    yield from _paths(workers, counted)


def _paths(workers: Sequence[Snapshot], counted: Sequence[Snapshot]) -> Iterator[Metric]:
    here: Counter[Labels] = Counter(
        (one.transport, one.path, one.remote_path)
        for worker in workers
        for call in worker.calls
        for one in call.participants
        if one.connected
    )
    left: Counter[Labels] = Counter()
    for worker in counted:
        for path in worker.paths_left_total:
            left[path.kind.transport, path.kind.local, path.kind.remote] += path.participants
    labels = ("transport", "local", "remote")
    yield gauge("sft_paths", "Connected participants, by the kind of path they are on.", here, *labels)
    yield counter(
        "sft_paths_left_total",
        "Participants that have left, by the kind of path they had at last.",
        left,
        *labels,
    )
