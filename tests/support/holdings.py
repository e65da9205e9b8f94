"""What a worker in this process holds: everything that may leak."""

from __future__ import annotations

import gc
import os
from collections import Counter

import attrs
import trio

from sft.calls.call import Call
from sft.calls.connection import Connection
from sft.calls.participant import Participant
from sft.calls.timers import Timer
from sft.forwarding.endpoint import Endpoint
from sft.forwarding.table import Table
from sft.server.worker import Worker
from sft.webrtc.dtls import DtlsSession
from sft.webrtc.peer import Peer

OBJECTS = (Call, Connection, DtlsSession, Endpoint, Participant, Peer, Table, Timer)


@attrs.frozen
class Holdings:
    """Everything that may leak."""

    calls: int
    participants: int
    ports_free: int
    descriptors: int
    watched: int
    routes: int
    timers: int
    tasks: int
    objects: dict[str, int]


def holdings(worker: Worker) -> Holdings:
    gc.collect()
    objects = Counter(type(one).__name__ for one in gc.get_objects() if type(one) in OBJECTS)
    return Holdings(
        calls=len(worker.calls),
        participants=worker.calls.participants,
        ports_free=sum(factory.stats().ports_free for factory in worker.factories),
        descriptors=len(os.listdir("/proc/self/fd")),
        watched=worker.pump.watched,
        routes=len(worker.services.routes),
        timers=len(worker.timers),
        tasks=trio.lowlevel.current_statistics().tasks_living,
        objects=dict(objects),
    )


async def settled(worker: Worker) -> Holdings:
    """What it holds once nothing of a call is left: those that vanished are noticed, and the entries of
    cancelled timers have come up."""
    with trio.move_on_after(20):
        while holdings(worker).objects.get("Call"):  # noqa: ASYNC110  # nobody tells when garbage is collected
            await trio.sleep(0.05)
    return holdings(worker)
