"""Reads the snapshots of all workers when Prometheus asks.

No label names a call, a participant or an address. What is of one process is labelled by worker, all else
is summed over the workers. ``workers`` are those that live, ``counted`` also those that died (history.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.registry import Collector as PrometheusCollector

from sft import __version__
from sft.plugin import DrainState, GatewayServices, InstanceSnapshot, Snapshot
from sft_metrics import joins, media
from sft_metrics.families import Labels, by_worker, counter, gauge, histogram, total
from sft_metrics.history import History


class Collector(PrometheusCollector):
    """For one registry."""

    def __init__(self, services: GatewayServices) -> None:
        self._services = services
        self._history = History()

    def collect(self) -> Iterator[Metric]:
        instance, workers = self._services.instance(), self._services.snapshots()
        counted = self._history.counted(workers)
        yield from _calls(instance, workers, counted)
        yield from joins.families(instance, workers, counted)
        yield from media.families(workers, counted)
        yield from _transports(workers)
        yield from _processes(workers, self._services.workers, self._history)
        yield from _faults(instance, counted)


def _calls(
    instance: InstanceSnapshot, workers: Sequence[Snapshot], counted: Sequence[Snapshot]
) -> Iterator[Metric]:
    people = [one for worker in workers for call in worker.calls for one in call.participants]
    yield gauge("sft_build_info", "Always 1.", {(__version__,): 1}, "version")
    yield gauge("sft_participants", "Participants now, joins under way included.", len(people))
    yield counter(
        "sft_participants_total",
        "Participants since the start, also those whose join failed.",
        sum(worker.participants_total for worker in counted),
    )
    yield gauge("sft_calls", "Calls now.", sum(len(worker.calls) for worker in workers))
    yield counter("sft_calls_total", "Calls since the start.", sum(worker.calls_total for worker in counted))
    yield gauge(
        "sft_draining",
        "1: no new calls, the process ends with its last one.",
        int(instance.state is not DrainState.RUNNING),
    )
    yield gauge(
        "sft_participants_connected",
        "Participants with an open data channel now.",
        sum(one.connected for one in people),
    )
    left = total(counted, lambda worker: worker.participants_left_total)
    yield counter("sft_participants_left_total", "Participants that have left, by reason.", left, "reason")
    yield gauge(
        "sft_approvals_missing",
        "Ordered pairs of participants of a call that do not both approve of each other.",
        sum(call.approvals_missing for worker in workers for call in worker.calls),
    )


def _transports(workers: Sequence[Snapshot]) -> Iterator[Metric]:
    stats = {
        (str(worker.worker), name): stats for worker in workers for name, stats in worker.transports.items()
    }
    labels = ("worker", "transport")
    yield gauge(
        "sft_transport_ports",
        "Participants the transport's ports have room for.",
        {key: one.ports_total for key, one in stats.items()},
        *labels,
    )
    yield gauge(
        "sft_transport_ports_free",
        "Participants it could still take.",
        {key: one.ports_free for key, one in stats.items()},
        *labels,
    )
    yield gauge(
        "sft_transport_connections",
        "Open connections, where there are such.",
        {key: one.connections for key, one in stats.items()},
        *labels,
    )
    yield counter(
        "sft_transport_kernel_drops_total",
        "Datagrams the kernel dropped: garbage, or a receive buffer was full.",
        {key: one.kernel_drops for key, one in stats.items()},
        *labels,
    )
    yield counter(
        "sft_transport_buffer_drops_total",
        "Those of them that found a receive buffer full.",
        {key: one.buffer_drops for key, one in stats.items()},
        *labels,
    )
    yield counter(
        "sft_transport_queue_drops_total",
        "Datagrams dropped from the queues of slow readers.",
        {key: one.queue_drops for key, one in stats.items()},
        *labels,
    )


def _processes(workers: Sequence[Snapshot], configured: int, history: History) -> Iterator[Metric]:
    yield gauge("sft_workers", "Workers that live and answer.", len(workers))
    yield gauge("sft_workers_configured", "Workers there should be.", configured)
    yield counter(
        "sft_worker_restarts_total",
        "Workers that died and were replaced.",
        {(worker,): count for worker, count in history.restarts.items()},
        "worker",
    )
    yield counter(
        "sft_worker_cpu_seconds_total",
        "User and system time of the worker's process.",
        by_worker(workers, lambda worker: worker.cpu_seconds),
        "worker",
    )
    yield gauge(
        "sft_worker_resident_memory_bytes",
        "Resident memory of the worker's process.",
        by_worker(workers, lambda worker: worker.memory_bytes),
        "worker",
    )
    yield gauge(
        "sft_worker_open_fds",
        "Open file descriptors of the worker's process.",
        by_worker(workers, lambda worker: worker.descriptors),
        "worker",
    )
    yield gauge(
        "sft_worker_max_fds",
        "How many it may have open.",
        by_worker(workers, lambda worker: worker.max_descriptors),
        "worker",
    )
    yield histogram(
        "sft_worker_loop_lag_seconds",
        "How late the worker's loop came, 20 times a second.",
        {(str(worker.worker),): worker.loop_lag for worker in workers},
        "worker",
    )
    yield gauge(
        "sft_worker_snapshot_age_seconds",
        "Age of the worker's newest snapshot, of which all other values are; grows while it says nothing.",
        by_worker(history.newest.values(), lambda worker: max(0.0, time.time() - worker.time)),
        "worker",
    )
    yield gauge(
        "sft_worker_participants",
        "Participants of the worker now.",
        by_worker(workers, lambda worker: worker.load.participants),
        "worker",
    )
    yield counter(
        "sft_worker_internal_errors_total",
        "Bugs of the server that ended nothing but what met them; the log has each.",
        by_worker(workers, lambda worker: worker.internal_errors),
        "worker",
    )


def _faults(instance: InstanceSnapshot, counted: Sequence[Snapshot]) -> Iterator[Metric]:
    faults: dict[Labels, float] = {}
    for process in (instance.faults, *(worker.faults for worker in counted)):
        for name, count in process.items():
            plugin, _, hook = name.rpartition(".")
            faults[plugin, hook] = faults.get((plugin, hook), 0) + count
    yield counter(
        "sft_plugin_faults_total", "Exceptions that plugins let out of hooks.", faults, "plugin", "hook"
    )
