"""Reading all counters of a worker at one moment, for plugins, pages and operators."""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING, Any

import cattrs
import trio

from sft.calls.call import Call
from sft.calls.participant import Participant
from sft.plugin.values import CallSnapshot, DrainState, ParticipantSnapshot, PathTotal, Snapshot

if TYPE_CHECKING:
    from sft.server.worker import Worker

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Snapshots:
    """Takes snapshots of one worker; keeps the newest."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._started = trio.current_time()
        self._last: tuple[float, int] = (self._started, 0)
        self.packets_per_second = 0.0
        self._newest: Snapshot | None = None

    @property
    def newest(self) -> Snapshot:
        """The last one taken."""
        return self._newest or self.take()

    def take(self) -> Snapshot:
        """Read everything now."""
        worker, now = self._worker, trio.current_time()
        calls = tuple(self._call(call, now) for call in worker.calls.calls.values())
        people = [participant for call in calls for participant in call.participants]
        packets = sum(one.packets_received + one.packets_sent for one in people)
        self._measure_rate(now, packets)
        load, past = worker.load(), worker.context.past
        self._newest = Snapshot(
            worker=worker.index,
            time=time.time(),
            uptime_seconds=now - self._started,
            loop_lag_p99=worker.lag.percentile(0.99),
            state=DrainState.DRAINING if load.draining else DrainState.RUNNING,
            load=load,
            calls=calls,
            calls_total=worker.calls.calls_total,
            participants_total=worker.calls.participants_total,
            participants_connected_total=worker.observer.connected_total,
            participants_left_total=dict(worker.observer.left),
            paths_left_total=tuple(
                PathTotal(kind=kind, participants=count) for kind, count in worker.observer.paths.items()
            ),
            packets_received_total=past.packets_in + sum(p.packets_received for p in people),
            bytes_received_total=past.octets_in + sum(p.bytes_received for p in people),
            packets_sent_total=past.packets_out + sum(p.packets_sent for p in people),
            bytes_sent_total=past.octets_out + sum(p.bytes_sent for p in people),
            drops={reason.value: count for reason, count in worker.drops.counts.items()},
            transports={factory.name: factory.stats() for factory in worker.factories},
            faults=worker.faults(),
            cpu_seconds=time.process_time(),
            memory_bytes=_resident(),
        )
        return self._newest

    def as_json(self) -> list[Any]:
        """A fresh snapshot as JSON-ready values, one entry per worker."""
        return [cattrs.unstructure(self.take())]

    def _measure_rate(self, now: float, packets: int) -> None:
        then, before = self._last
        if now >= then + 0.5:
            self.packets_per_second = max(0, packets - before) / (now - then)
            self._last = (now, packets)

    @staticmethod
    def _call(call: Call, now: float) -> CallSnapshot:
        return CallSnapshot(
            call=call.id,
            age_seconds=now - call.started_at,
            participants=tuple(_participant(one, now) for one in call.participants.values()),
        )


def _participant(participant: Participant, now: float) -> ParticipantSnapshot:
    connection = participant.connection or participant.pending
    if connection is None:
        return ParticipantSnapshot(user=participant.id.user, client=participant.id.client)
    endpoint, path = connection.endpoint, connection.path_kind
    slots = endpoint.slots.values()
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
        nacks_sent=sum([source.gaps.requested for source in endpoint.sources.values()]),
        packets_lost=sum([slot.lost for slot in slots]),
    )


def _resident() -> int:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * _PAGE
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
