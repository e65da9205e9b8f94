"""Snapshots of calls that never were, for tests of the operator's live view."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import sha256

import attrs

from sft.histogram import Distribution
from sft.model import WorkerLoad
from sft.plugin.interfaces import TransportStats
from sft.plugin.values import (
    CallSnapshot,
    DrainState,
    InstanceSnapshot,
    ParticipantSnapshot,
    Snapshot,
    Traffic,
)


def full_hash(*parts: object) -> str:
    """As users and calls are named: 32 hex digits."""
    return sha256(repr(parts).encode()).hexdigest()[:32]


def participant(call: str, number: int, seconds: float, **changes: object) -> ParticipantSnapshot:
    """One that is well and sends sound and two layers, ``seconds`` after it joined."""
    chance = random.Random(f"{call} {number}")
    rate_in, rate_out = chance.randint(60_000, 110_000), chance.randint(300_000, 500_000)
    wobble = random.Random(f"{call} {number} {seconds}").uniform(-3000, 3000)
    base = ParticipantSnapshot(
        user=full_hash(call, number),
        client=full_hash(call, number, "client")[:16],
        connected=True,
        transport="udp",
        path="host",
        remote_path=chance.choice(("prflx", "prflx", "srflx", "host")),
        remote=f"192.0.2.{number % 250}:50000",
        age_seconds=seconds,
        silent_seconds=0.3,
        packets_received=int(seconds * 110),
        bytes_received=int(seconds * rate_in + wobble),
        packets_sent=int(seconds * 500),
        bytes_sent=int(seconds * rate_out + 3 * wobble),
        nacks_received=int(seconds * chance.choice((0, 0, 1))),
        loss_received=chance.choice((0.0, 0.0, 0.004)),
        loss_sent=chance.choice((0.0, 0.0, 0.008)),
        jitter_received_seconds=chance.uniform(0.001, 0.012),
        jitter_sent_seconds=chance.uniform(0.001, 0.012),
        round_trip_seconds=chance.uniform(0.01, 0.12),
        sends=("audio", "high", "low"),
        receives={"audio": 4, "high": 1, "low": 8},
    )
    return attrs.evolve(base, **changes)  # type: ignore[arg-type]  # what the test says


def call_snapshot(name: str, people: Sequence[ParticipantSnapshot], seconds: float) -> CallSnapshot:
    return CallSnapshot(call=full_hash(name), age_seconds=seconds, participants=tuple(people))


def snapshot(worker: int, seconds: float, calls: Sequence[CallSnapshot]) -> Snapshot:
    """Of a worker, ``seconds`` after its start."""
    count = sum(len(call.participants) for call in calls)
    people = [one for call in calls for one in call.participants]
    return Snapshot(
        worker=worker,
        pid=1000 + worker,
        time=1_790_000_000 + seconds,
        uptime_seconds=seconds,
        loop_lag_p99=0.002,
        load=WorkerLoad(
            worker,
            packets_per_second=610.0 * count,
            participants=count,
            calls=len(calls),
            free_ports=1000 - count,
        ),
        calls=tuple(calls),
        received={"audio": Traffic(0, sum(one.bytes_received for one in people))},
        sent={"video": Traffic(0, sum(one.bytes_sent for one in people))},
        transports={
            "udp": TransportStats(ports_total=1000, ports_free=1000 - count),
            "tcp": TransportStats(ports_total=200, ports_free=200),
        },
        cpu_seconds=seconds * (0.1 + count * 0.003),
        memory_bytes=90_000_000 + 500_000 * count,
    )


class LiveNumbers:
    """The gateway's services as far as the live view asks for them; the test sets what they say."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.state = DrainState.RUNNING
        self.newest: Sequence[Snapshot] = ()

    def snapshots(self) -> Sequence[Snapshot]:
        return self.newest

    def instance(self) -> InstanceSnapshot:
        return InstanceSnapshot(
            state=self.state,
            uptime_seconds=max([snapshot.uptime_seconds for snapshot in self.newest], default=0.0),
            outcomes={},
            joins_refused={},
            request_seconds=Distribution((), (0,), 0.0),
        )
