"""The values hooks take and give. Frozen, picklable, without behaviour beyond reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import attrs

from sft.histogram import Distribution
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
    """Media; also what was dropped. Bytes are RTP packets."""
    bytes_received: int = 0
    packets_sent: int = 0
    """Media. Bytes are payload, without repeats."""
    bytes_sent: int = 0
    nacks_received: int = 0
    """Packets it asked us for, and packets we asked it for."""
    nacks_sent: int = 0
    keyframe_requests_received: int = 0
    keyframe_requests_sent: int = 0
    packets_lost: int = 0
    """As its own receiver reports say, over all slots."""
    loss_received: float = 0.0
    """Share of its packets that did not come, and of ours that did not reach it, over about a second; 0
    where nothing is sent."""
    loss_sent: float = 0.0
    jitter_received_seconds: float = 0.0
    """Of its worst stream, and of the worst it gets; 0 likewise."""
    jitter_sent_seconds: float = 0.0
    round_trip_seconds: float = 0.0
    """0: not known yet."""
    sends: tuple[str, ...] = ()
    """Streams that it has sent within the last second: ``audio``, ``high``, ``low``, ``video`` (where
    there is only one layer)."""
    receives: Mapping[str, int] = attrs.field(factory=dict)
    """How many of each it gets, as far as they are sent."""
    downlink_bits_per_second: int = 0
    """What it says it could receive of video (REMB); 0: it has said nothing."""
    limited_by: str = ""
    """Why it gets less video than it wants: ``remb``, ``loss`` or ``delay``; empty: it gets all there is."""
    slots_reduced: int = 0
    """Video slots that show the small layer in place of the wanted one..."""
    slots_paused: int = 0
    """... and that show nothing."""
    degradations: int = 0
    """How often video was taken away."""


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
    approvals_missing: int = 0
    """Ordered pairs of participants that would get each other's video if both approved."""


@attrs.frozen
class Traffic:
    """Packets of one kind in one direction. Bytes of media are payload, without repeats; of anything
    else datagrams, without SRTCP's trailer."""

    packets: int = 0
    bytes: int = 0


@attrs.frozen(kw_only=True)
class RepairSnapshot:
    """What was done about packets that were lost; counters."""

    missing: Mapping[str, int] = attrs.field(factory=dict)
    """What became of packets that were missing from senders: ``reordered``, ``repaired``, ``lost``."""
    asked: int = 0
    """Packets that senders were asked for, each time counted."""
    nacked: int = 0
    """Packets that receivers asked for, and that they were sent again."""
    repeated: int = 0
    keyframes_wanted: Mapping[str, int] = attrs.field(factory=dict)
    """By cause."""
    keyframes_asked: int = 0
    """Requests sent."""


@attrs.frozen(kw_only=True)
class QualitySnapshot:
    """What reports say, one value for each, about one a second and stream. By kind of media: shares of
    packets lost and jitter in seconds, of what came from senders and of what went to receivers."""

    round_trip: Distribution = attrs.field(factory=Distribution)
    """Seconds."""
    loss_received: Mapping[str, Distribution] = attrs.field(factory=dict)
    loss_sent: Mapping[str, Distribution] = attrs.field(factory=dict)
    jitter_received: Mapping[str, Distribution] = attrs.field(factory=dict)
    jitter_sent: Mapping[str, Distribution] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Snapshot:
    """One worker at one moment. ``*_total`` and the mappings of integers are counters since its start."""

    worker: int
    pid: int = 0
    """Of the worker's process."""
    time: float
    """Unix seconds."""
    uptime_seconds: float = 0.0
    loop_lag_p99: float = 0.0
    """Seconds the worker's loop came late in the last minute; ``load`` has the worst of the last second."""
    loop_lag: Distribution = attrs.field(factory=Distribution)
    """The same since the start: seconds, 20 values a second."""
    state: DrainState = DrainState.RUNNING
    load: WorkerLoad
    calls: tuple[CallSnapshot, ...] = ()
    calls_total: int = 0
    participants_total: int = 0
    participants_connected_total: int = 0
    participants_left_total: Mapping[str, int] = attrs.field(factory=dict)
    """By the reason they left for, as in ``sft_participant_left``."""
    paths_left_total: tuple[PathTotal, ...] = ()
    """By the kind of path that those who left had at last."""
    joins: Mapping[str, int] = attrs.field(factory=dict)
    """Joins that were answered with an offer and have ended, by :class:`sft.calls.joins.Outcome`."""
    join_phases: Mapping[str, Distribution] = attrs.field(factory=dict)
    """Seconds, by :class:`sft.calls.joins.Phase`."""
    received: Mapping[str, Traffic] = attrs.field(factory=dict)
    """``audio``, ``video``, ``rtcp``, and ``control``: STUN and DTLS. What was dropped is not in it."""
    sent: Mapping[str, Traffic] = attrs.field(factory=dict)
    """What the kernel then refused is in ``drops``, too."""
    repair: RepairSnapshot = attrs.field(factory=RepairSnapshot)
    quality: QualitySnapshot = attrs.field(factory=QualitySnapshot)
    degradations: Mapping[str, int] = attrs.field(factory=dict)
    """How often video was taken away from a receiver, by the reason: see ``limited_by``."""
    drops: Mapping[str, int] = attrs.field(factory=dict)
    """By :class:`sft.model.Drop`."""
    transports: Mapping[str, TransportStats] = attrs.field(factory=dict)
    """By the factory's name."""
    faults: Mapping[str, int] = attrs.field(factory=dict)
    """Of plugins in this worker, by ``PLUGIN.HOOK``, from zero on."""
    internal_errors: int = 0
    """Bugs that ended nothing but what met them; each is in the log."""
    cpu_seconds: float = 0.0
    """User and system time of the process."""
    memory_bytes: int = 0
    """Resident set."""
    descriptors: int = 0
    """Open files and sockets of the process, and how many it may have."""
    max_descriptors: int = 0


@attrs.frozen(kw_only=True)
class InstanceSnapshot:
    """The gateway at one moment. Mappings of integers are counters since its start."""

    state: DrainState
    uptime_seconds: float
    outcomes: Mapping[str, int]
    """Of requests to ``/sft/<call>`` and ``/ice/<call>``: ``offered``, ``answered``, ... From 0 on."""
    joins_refused: Mapping[str, int]
    """Joins that got no offer, by the same words."""
    request_seconds: Distribution
    """From the end of such a request's body to its answer."""
    faults: Mapping[str, int] = attrs.field(factory=dict)
    """Of plugins in this process, if workers have others; else they are in the worker's snapshot."""


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
