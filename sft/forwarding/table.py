"""The table of one call: who hears and sees whom, and the housekeeping behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sft.forwarding import feedback
from sft.forwarding.counters import MediaCounters
from sft.forwarding.endpoint import Endpoint
from sft.forwarding.keyframes import Cause, KeyframeGate
from sft.forwarding.layers import LayerSelection
from sft.forwarding.probe import PACE, send_padding
from sft.forwarding.selection import AudioSelection
from sft.forwarding.source import Source
from sft.model import MediaKind, RandomBytes
from sft.webrtc import rtcp

PERIOD = 0.1
"""Seconds between two rounds of housekeeping while media flows; none while nothing does."""

SILENCE = 1.0
"""Seconds without a packet after which a source is not alive: its receivers get another layer."""

BUDGET_PERIOD = 0.2
"""Seconds between two looks at what receivers' downlinks carry."""

MAX_PROBING = 8
"""Receivers of one call that are sent padding at the same time: it costs as much as media."""

_EARLY = 0.001
"""A timer that fires this much too early has fired."""

_NEVER = float("inf")


class Table:
    """Everything here is control time, except what the packet path reads of its endpoints."""

    def __init__(
        self,
        random: RandomBytes,
        wall: Callable[[float], float],
        wake: Callable[[float], None],
        counters: MediaCounters | None = None,
        *,
        adapt: bool = True,
    ) -> None:
        """``wall`` turns our ``now`` into Unix seconds. ``wake(when)`` must get :meth:`tick` called at
        that time; it is called rarely: when media starts, at a gap, and by every tick. ``counters``: the
        worker's, which several tables share. ``adapt``: send a receiver less video than it wants when its
        downlink does not carry more."""
        self.wall = wall
        self.counters = counters or MediaCounters()
        self.endpoints: dict[Endpoint, None] = {}
        self.gate = KeyframeGate(self._send_pli, self._wake_by, self.counters.keyframes_wanted)
        self.selection = AudioSelection()
        self.layers = LayerSelection(self.gate)
        self._random = random
        self._wake = wake
        self._next_wake = _NEVER
        self._next_round = 0.0
        self._next_budget = 0.0 if adapt else _NEVER
        self._probing: dict[Endpoint, None] = {}
        self._alive: dict[Source, None] = {}
        self._gapped: dict[Source, None] = {}

    # What the call decides.

    def add(self, endpoint: Endpoint, now: float) -> None:
        """A participant comes in. It hears and is heard once ``set_allowed`` says so."""
        endpoint.table = self
        self.endpoints[endpoint] = None
        endpoint.report_at = now

    def remove(self, endpoint: Endpoint, now: float) -> None:
        """A participant leaves. Its slots and everybody's slots of it are free."""
        if self.endpoints.pop(endpoint, self) is self:
            return
        for source in list(endpoint.sources.values()):
            endpoint.retire(source, now)
        self._probing.pop(endpoint, None)
        self.layers.set_streams(endpoint, (), now)
        self.selection.leave(endpoint)
        for viewer in list(endpoint.viewers):
            viewer.wanted = None
            self.layers.aim(viewer, Cause.SUBSCRIPTION, now)
        endpoint.viewers.clear()
        for sender in self.endpoints:
            sender.audio_receivers -= {endpoint}
            sender.video_receivers -= {endpoint}
        self.counters.past.add_slots(endpoint.slots.values())
        endpoint.table = None

    def set_first(self, endpoint: Endpoint | None) -> None:
        """The roster's first participant: slot 0 of everybody else is its own."""
        self.selection.set_first(endpoint)

    def set_allowed(
        self, sender: Endpoint, audio: frozenset[Endpoint], video: frozenset[Endpoint], now: float
    ) -> None:
        """Who may receive the sender's audio and video."""
        sender.audio_receivers = audio
        sender.video_receivers = video
        if sender.audio is not None:
            self.selection.refresh(sender.audio)
        self.layers.changed(sender, Cause.SUBSCRIPTION, now)

    def set_streams(
        self, receiver: Endpoint, wanted: Sequence[tuple[Endpoint | None, int]], now: float
    ) -> None:
        """CONFSTREAMS: entry i is what video slot i of the receiver shows, with its quality (0 any,
        1 low, 2 high). Replaces the list before."""
        self.layers.set_streams(receiver, wanted, now)

    # What endpoints and the packet path report.

    def opened(self, receiver: Endpoint, now: float) -> None:
        """A participant has keys now and can be sent to."""
        for sender in self.endpoints:
            if sender.audio is not None and receiver in sender.audio_receivers:
                self.selection.refresh(sender.audio)
        for slot in receiver.video_slots:
            self.layers.aim(slot, Cause.JOIN, now)

    def add_source(self, source: Source, now: float) -> None:
        """A first packet of a new SSRC has come."""
        source.endpoint.report_at = now  # Chrome sends the RID until its SSRC is reported on
        if source.kind is MediaKind.AUDIO:
            self.selection.added(source)

    def drop_source(self, source: Source, now: float) -> None:
        """An SSRC has ended."""
        self._alive.pop(source, None)
        self._gapped.pop(source, None)
        self.counters.past.add_source(source)
        source.clear_ring()
        if source.kind is MediaKind.AUDIO:
            self.selection.silence(source)
        else:
            self.layers.closed(source)
            self.layers.changed(source.endpoint, Cause.LAYER_CHANGE, now)

    def pause_source(self, source: Source, now: float) -> None:
        """It said goodbye or has been silent for too long. Chrome says BYE for a layer it switches off,
        and may go on with the same SSRC later: the source stays known."""
        if not source.alive:
            return
        source.alive = False
        del self._alive[source]
        source.clear_ring()
        if source.kind is MediaKind.AUDIO:
            self.selection.silence(source)
        else:
            self.layers.changed(source.endpoint, Cause.LAYER_CHANGE, now)

    def revive(self, source: Source, now: float) -> None:
        """A source sends, for the first time or again after a silence."""
        source.alive = True
        self._alive[source] = None
        if source.kind is MediaKind.VIDEO:
            cause = Cause.LAYER_CHANGE if source.packets else Cause.JOIN
            self.layers.changed(source.endpoint, cause, now)
        self.wake_soon(now)

    def wake_soon(self, now: float) -> None:
        """Something waits for the next round of housekeeping."""
        self._wake_by(now + PERIOD)

    def gap(self, source: Source, first: int, last: int, now: float) -> None:
        """The extended numbers first..last were skipped."""
        if source.gaps.opened(first, last, now):
            self._gapped[source] = None
            self._wake_by(source.gaps.deadline or now)
        else:
            self._give_up(source, now)

    # Housekeeping.

    def tick(self, now: float) -> None:
        """Send what is due: reports, feedback, NACKs, keyframe requests. May be called at any time."""
        if now >= self._next_wake - _EARLY:
            self._next_wake = _NEVER
        self._repair(now)
        self.gate.tick(now)
        self._pad(now)
        if now >= self._next_round - _EARLY:
            self._next_round = now + PERIOD
            self._find_silent(now)
            self._answer(now)
            self._report(now)
        if now >= self._next_budget - _EARLY:
            self._next_budget = now + BUDGET_PERIOD
            self._budget(now)
        if self._alive or any(endpoint.transport.pending for endpoint in self.endpoints):
            self._wake_by(self._next_round)

    def _answer(self, now: float) -> None:
        for endpoint in self.endpoints:
            if endpoint.transport.is_due(now, PERIOD):
                feedback.send_transport_feedback(endpoint)

    def _report(self, now: float) -> None:
        for endpoint in self.endpoints:
            if now >= endpoint.report_at:
                # Spread by a quarter either way, so that a call's reports do not fall into step
                # (RFC 3550 section 6.2).
                endpoint.report_at = now + feedback.REPORT_PERIOD * (0.75 + self._random(1)[0] / 512)
                feedback.report(endpoint, now, self.wall(now))

    def _budget(self, now: float) -> None:
        for source in self._alive:
            if source.kind is MediaKind.VIDEO:
                source.meter.sample(source.octets, now)
        for receiver in self.endpoints:
            budget, before = receiver.budget, receiver.budget.degradations
            free = len(self._probing) < MAX_PROBING
            for slot in budget.round(receiver.video_slots, receiver.video_octets, now, may_probe=free):
                self.layers.aim(slot, Cause.BUDGET, now)
            if budget.reason is not None:
                self.counters.degradations[budget.reason] += budget.degradations - before
            if budget.probe is not None:
                self._probing[receiver] = None
                self._wake_by(now + PACE)

    def _pad(self, now: float) -> None:
        for receiver in list(self._probing):
            budget = receiver.budget
            if budget.probe is None:
                del self._probing[receiver]
                continue
            send_padding(receiver, budget.padding(receiver.video_octets, now), now)
            self._wake_by(now + PACE)

    def _find_silent(self, now: float) -> None:
        for source in [source for source in self._alive if now - source.arrival > SILENCE]:
            self.pause_source(source, now)

    def _repair(self, now: float) -> None:
        for source in list(self._gapped):
            ask, lost = source.gaps.due(now, source.endpoint.round_trip)
            if ask:
                packet = rtcp.write_nack(source.endpoint.rtcp_ssrc, source.ssrc, ask)
                feedback.send_feedback(source.endpoint, packet)
            if lost:
                self._give_up(source, now)
            deadline = source.gaps.deadline
            if deadline is None:
                self._gapped.pop(source, None)
            else:
                self._wake_by(deadline)

    def _give_up(self, source: Source, now: float) -> None:
        """What is missing will not come: a picture needs a keyframe, sound goes on without."""
        if source.kind is MediaKind.VIDEO and (source.slots or source.waiting):
            self.gate.request(source, Cause.REPAIR_FAILED, now)

    def _send_pli(self, source: Source) -> None:
        self.counters.keyframes_asked += 1
        source.endpoint.keyframes_asked += 1
        packet = rtcp.write_pli(source.endpoint.rtcp_ssrc, source.ssrc)
        feedback.send_feedback(source.endpoint, packet)

    def _wake_by(self, when: float) -> None:
        if when < self._next_wake:
            self._next_wake = when
            self._wake(when)
