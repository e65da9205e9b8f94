"""Reading all counters of a worker at one moment, for plugins, pages and operators."""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio

from sft.calls.call import Call
from sft.calls.participant import Participant
from sft.forwarding.counters import Carried, Flow, MediaCounters
from sft.forwarding.quality import Quality
from sft.forwarding.slot import Grant
from sft.histogram import Distribution, Histogram
from sft.model import MediaKind
from sft.plugin.values import (
    CallSnapshot,
    DrainState,
    ParticipantSnapshot,
    PathTotal,
    QualitySnapshot,
    RepairSnapshot,
    Snapshot,
    Traffic,
)

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.server.worker import Worker

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Snapshots:
    """Takes snapshots of one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._started = trio.current_time()
        self._last: tuple[float, int] = (self._started, 0)
        self.packets_per_second = 0.0

    def take(self) -> Snapshot:
        """Read everything now."""
        worker, now = self._worker, trio.current_time()
        context, calls = worker.context, worker.calls.calls.values()
        carried = context.media.total(endpoint for call in calls for endpoint in call.table.endpoints)
        self._measure_rate(now, carried)
        load = worker.load()
        return Snapshot(
            worker=worker.index,
            pid=os.getpid(),
            time=time.time(),
            uptime_seconds=now - self._started,
            loop_lag_p99=worker.lag.percentile(0.99),
            loop_lag=worker.lag.distribution.read(),
            state=DrainState.DRAINING if load.draining else DrainState.RUNNING,
            load=load,
            calls=tuple(read_call(call, now) for call in calls),
            calls_total=worker.calls.calls_total,
            participants_total=worker.calls.participants_total,
            participants_connected_total=worker.observer.connected_total,
            participants_left_total=dict(worker.observer.left),
            paths_left_total=tuple(
                PathTotal(kind=kind, participants=count) for kind, count in worker.observer.paths.items()
            ),
            joins={outcome.value: count for outcome, count in context.joins.outcomes.items()},
            join_phases=context.joins.read_phases(),
            received=_traffic(carried.received),
            sent=_traffic(carried.sent),
            repair=_repair(context.media, carried),
            quality=_quality(context.media),
            degradations={reason.value: count for reason, count in context.media.degradations.items()},
            drops={reason.value: count for reason, count in worker.drops.counts.items()},
            transports={factory.name: factory.stats() for factory in worker.factories},
            faults=worker.faults(),
            internal_errors=worker.internal_errors,
            cpu_seconds=time.process_time(),
            memory_bytes=_resident(),
            descriptors=open_descriptors(),
            max_descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )

    def _measure_rate(self, now: float, carried: Carried) -> None:
        packets = sum(flow.packets for flow in (*carried.received.values(), *carried.sent.values()))
        then, before = self._last
        if now >= then + 0.5:
            self.packets_per_second = max(0, packets - before) / (now - then)
            self._last = (now, packets)


def _traffic(flows: Mapping[str, Flow]) -> dict[str, Traffic]:
    return {str(kind): Traffic(flow.packets, flow.octets) for kind, flow in flows.items()}


def _repair(media: MediaCounters, carried: Carried) -> RepairSnapshot:
    return RepairSnapshot(
        missing={"reordered": carried.reordered, "repaired": carried.repaired, "lost": carried.lost},
        asked=carried.asked,
        nacked=carried.nacked,
        repeated=carried.repeated,
        keyframes_wanted={cause.value: count for cause, count in media.keyframes_wanted.items()},
        keyframes_asked=media.keyframes_asked,
    )


def _quality(media: MediaCounters) -> QualitySnapshot:
    return QualitySnapshot(
        round_trip=media.round_trip.read(),
        loss_received=_by_kind(media.loss_received),
        loss_sent=_by_kind(media.loss_sent),
        jitter_received=_by_kind(media.jitter_received),
        jitter_sent=_by_kind(media.jitter_sent),
    )


def _by_kind(histograms: Mapping[MediaKind, Histogram]) -> dict[str, Distribution]:
    return {kind.value: histogram.read() for kind, histogram in histograms.items()}


def read_call(call: Call, now: float) -> CallSnapshot:
    """One call and its participants now."""
    return CallSnapshot(
        call=call.id,
        age_seconds=now - call.started_at,
        participants=tuple(_participant(one, now) for one in call.participants.values()),
        approvals_missing=call.approvals_missing,
    )


def _participant(participant: Participant, now: float) -> ParticipantSnapshot:
    connection = participant.connection or participant.pending
    if connection is None:
        return ParticipantSnapshot(user=participant.id.user, client=participant.id.client)
    endpoint, path = connection.endpoint, connection.path_kind
    slots, sources = endpoint.slots.values(), endpoint.sources.values()
    sends = tuple([source.stream for source in sources if source.alive])
    gets = [slot.source.stream for slot in slots if slot.source is not None and slot.source.alive]
    budget, grants = endpoint.budget, _limited(endpoint)
    # The newest report on what has stopped stays the newest.
    up, down = endpoint.upstream if sends else Quality(), endpoint.downstream if gets else Quality()
    return ParticipantSnapshot(
        user=participant.id.user,
        client=participant.id.client,
        connected=connection.established,
        transport=path.transport,
        path=path.local,
        remote_path=path.remote,
        remote=connection.remote,
        age_seconds=now - connection.made_at,
        silent_seconds=now - connection.last_alive,
        packets_received=endpoint.packets,
        bytes_received=endpoint.octets,
        packets_sent=sum([slot.packets for slot in slots]),
        bytes_sent=sum([slot.octets for slot in slots]),
        nacks_received=sum([slot.nacked for slot in slots]),
        nacks_sent=sum([source.gaps.requested for source in sources]),
        keyframe_requests_received=endpoint.keyframes_wanted,
        keyframe_requests_sent=endpoint.keyframes_asked,
        packets_lost=sum([slot.lost for slot in slots]),
        loss_received=up.loss,
        loss_sent=down.loss,
        jitter_received_seconds=up.jitter,
        jitter_sent_seconds=down.jitter,
        round_trip_seconds=endpoint.round_trip,
        sends=sends,
        receives=Counter(gets),
        downlink_bits_per_second=budget.downlink.remb or 0,
        limited_by=(budget.reason or "") if grants else "",
        slots_reduced=grants.count(Grant.LOW),
        slots_paused=grants.count(Grant.PAUSED),
        degradations=budget.degradations,
    )


def _limited(endpoint: Endpoint) -> list[Grant]:
    """What is granted of the pictures it wants and that are sent, if its downlink limits them."""
    if endpoint.budget.reason is None:
        return []
    wanted = [(slot.granted, slot.wanted) for slot in endpoint.video_slots if slot.wanted is not None]
    return [grant for grant, sender in wanted if any(layer.alive for layer in sender.layers.values())]


def _resident() -> int:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def open_descriptors() -> int:
    """How many the process has. Their folder's size says so since Linux 6.2; listing 10,000 takes 9 ms."""
    try:
        return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0
