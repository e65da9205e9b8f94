"""What calls need from the worker they live in, handed in so that they do no I/O themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

import attrs

from sft.calls.joins import JoinCounters
from sft.calls.timers import TimerHeap
from sft.forwarding import loop
from sft.forwarding.counters import MediaCounters
from sft.model import (
    Drops,
    Ending,
    EnvelopeVerdict,
    IceServer,
    JoinRecord,
    ParticipantId,
    PathKind,
    RandomBytes,
    RosterEntry,
)

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.plugin.interfaces import Engine, Receive, Transport
    from sft.webrtc.peer import Peer


class Observer(Protocol):
    """Whom a call tells what happened, and asks what plugins may decide. Never raises."""

    def call_started(self, call: str) -> None: ...
    def call_ended(self, call: str, reason: str) -> None: ...
    def participant_joined(self, call: str, participant: ParticipantId) -> None: ...
    def participant_left(
        self, call: str, participant: ParticipantId, reason: Ending, detail: str, path: PathKind
    ) -> None: ...
    def join_ended(self, join: JoinRecord) -> None: ...
    def roster_changed(self, call: str, roster: Sequence[RosterEntry], reason: str) -> None: ...
    def order_roster(self, call: str, roster: Sequence[RosterEntry]) -> Sequence[RosterEntry]: ...
    def key_envelope(
        self, call: str, sender: ParticipantId, recipients: Sequence[ParticipantId], envelope: str
    ) -> EnvelopeVerdict: ...
    def log(self, event: str, **fields: object) -> None: ...


@attrs.frozen
class Settings:
    """Limits and timers of calls; times in seconds. Defaults as in the config (docs/configuration.md)."""

    url: str
    """Our own URL, announced in SETUP and CONFPART."""
    audio_slots: int = 5
    max_video_slots: int = 32
    adapt_video: bool = True
    participants_per_call: int = 500
    participants_per_worker: int = 2000
    pending_per_address: int = 60
    offer_seconds: float = 10.0
    connect_seconds: float = 10.0
    silence_seconds: float = 15.0
    ping_seconds: float = 45.0
    roster_seconds: float = 0.2
    channel_bytes: int = 512 * 1024
    """Unsent bytes on a data channel at which its participant is given up."""
    messages_per_second: float = 100.0
    envelope_hold_seconds: float = 60.0


@attrs.define
class Context:
    """One per worker."""

    settings: Settings
    timers: TimerHeap
    observer: Observer
    engine: Engine
    drops: Drops
    random: RandomBytes
    wall: Callable[[float], float]
    """Monotonic now -> seconds since 1970."""
    make_peer: Callable[[float], Peer]
    open_transports: Callable[[Receive, Sequence[IceServer]], Sequence[Transport]]
    """Opens one transport per kind; raises TransportError when none can be had."""
    routes: dict[str, Receive]
    """By our ICE user name fragment: who receives what comes for that peer (for shared ports)."""
    make_receive: Callable[[Endpoint], Receive] = lambda endpoint: partial(loop.receive, endpoint)
    """What the transports of an endpoint's peer are given."""
    joins: JoinCounters = attrs.field(factory=JoinCounters)
    media: MediaCounters = attrs.field(factory=MediaCounters)
    seqno: int = 0
    """Of the last CONFPART sent."""
