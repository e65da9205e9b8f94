"""The values hooks take and give. Frozen, picklable, without behaviour beyond reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import attrs

from sft.model import PathKind, WorkerLoad
from sft.plugin.interfaces import TransportStats
from sft.signalling.messages import Status

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


class DrainState(StrEnum):
    """How far an instance is on its way out."""

    RUNNING = "running"
    DRAINING = "draining"
    """No new calls; live calls go on and still admit participants."""
    CLOSED = "closed"


@attrs.frozen
class PlacementRequest:
    """A call that no worker hosts yet, and who asks for it."""

    call: str
    user: str
    client: str
    address: str
    """The client's IP address as text, behind trusted proxies the forwarded one."""


@attrs.frozen
class AuthRequest:
    """A participant that asks to join a call."""

    call: str
    user: str
    client: str
    username: str
    """As in CONFCONN; empty: the client sent none."""
    credential: str = attrs.field(repr=False)
    starting: bool
    """True: the call does not exist yet, so this participant would start it."""
    address: str
    toolver: str


@attrs.frozen
class Verdict:
    """The answer to an :class:`AuthRequest`. ``reason`` goes to the log, never to the client."""

    status: Status = attrs.field(converter=Status)
    reason: str = ""

    @property
    def allowed(self) -> bool:
        return self.status is Status.OK

    @classmethod
    def allow(cls) -> Verdict:
        return cls(Status.OK)

    @classmethod
    def refuse(cls, status: Status = Status.CREDENTIALS_INVALID, reason: str = "") -> Verdict:
        return cls(status, reason)


@attrs.frozen(kw_only=True)
class ParticipantSnapshot:
    """One participant at one moment. Counters run since it joined."""

    user: str
    client: str
    connected: bool = False
    """The data channel is open."""
    transport: str = ""
    """Protocol of the selected path, ``udp`` or ``tcp``; empty while there is none."""
    path: str = ""
    """The server's end of it: ``host`` or ``relay``."""
    remote_path: str = ""
    """The participant's end: ``host``, ``srflx``, ``prflx`` or ``relay``, see :class:`sft.model.PathKind`."""
    remote: str = ""
    """Remote address of the selected path, as ``host:port``."""
    age_seconds: float = 0.0
    silent_seconds: float = 0.0
    """Since the last authenticated packet."""
    packets_received: int = 0
    bytes_received: int = 0
    packets_sent: int = 0
    bytes_sent: int = 0
    packets_dropped: int = 0
    """Meant for it or from it, but not forwarded."""
    nacks_received: int = 0
    nacks_sent: int = 0
    keyframe_requests_received: int = 0
    keyframe_requests_sent: int = 0
    packets_lost: int = 0
    """As its own receiver reports say, over all slots."""
    round_trip_seconds: float = 0.0
    """0: not known yet."""


@attrs.frozen(kw_only=True)
class PathTotal:
    """How many participants had a path of this kind."""

    kind: PathKind
    participants: int


@attrs.frozen(kw_only=True)
class CallSnapshot:
    """One call at one moment."""

    call: str
    age_seconds: float = 0.0
    participants: tuple[ParticipantSnapshot, ...] = ()


@attrs.frozen(kw_only=True)
class Snapshot:
    """One worker at one moment. ``*_total`` and the mappings of integers are counters since its start."""

    worker: int
    time: float
    """Unix seconds."""
    uptime_seconds: float = 0.0
    loop_lag_p99: float = 0.0
    """Seconds the worker's loop came late in the last minute; ``load`` has the worst of the last second."""
    state: DrainState = DrainState.RUNNING
    load: WorkerLoad
    calls: tuple[CallSnapshot, ...] = ()
    calls_total: int = 0
    participants_total: int = 0
    participants_connected_total: int = 0
    participants_left_total: Mapping[str, int] = attrs.field(factory=dict)
    """By the reason they left for."""
    paths_left_total: tuple[PathTotal, ...] = ()
    """By the kind of path that those who left had at last."""
    packets_received_total: int = 0
    bytes_received_total: int = 0
    packets_sent_total: int = 0
    bytes_sent_total: int = 0
    drops: Mapping[str, int] = attrs.field(factory=dict)
    """By :class:`sft.model.Drop`."""
    transports: Mapping[str, TransportStats] = attrs.field(factory=dict)
    """By the factory's name."""
    faults: Mapping[str, int] = attrs.field(factory=dict)
    """Of plugins in this worker, by ``PLUGIN.HOOK``."""
    cpu_seconds: float = 0.0
    """User and system time of the process."""
    memory_bytes: int = 0
    """Resident set."""


@attrs.frozen
class HttpRoutes:
    """Starlette routes for one of the instance's two listeners."""

    listener: Literal["public", "operator"] = attrs.field(
        validator=attrs.validators.in_(("public", "operator"))
    )
    routes: Sequence[BaseRoute]


@attrs.frozen
class PluginDescription:
    """One line of ``sft-serve plugins``."""

    name: str
    version: str
    origin: str
    """Where it was found: ``built-in``, ``sft-transport-udp`` (a distribution) or ``module my.module``."""
    hooks: tuple[str, ...]
