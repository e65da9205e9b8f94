"""Which video goes into which slot, and which simulcast layer of it (protocol sections 6.5 and 6.6).

A slot switches to a layer at the start of one of its keyframes. Until then the old layer of the same
participant goes on; another participant's stream stops at once. Layers are told apart by SSRC, the
payload is never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sft.forwarding.keyframes import Cause, KeyframeGate
from sft.forwarding.slot import Grant
from sft.forwarding.source import Source
from sft.webrtc.rtp import KEYFRAME_START, NO_DESCRIPTOR

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.forwarding.slot import Slot

LOW = 1
"""The quality of CONFSTREAMS that prefers layer ``l``; 0 (any) and 2 (high) prefer ``h``."""


def costs(slot: Slot) -> tuple[float, float]:
    """Bit/s of what the slot would show in the small layer, and as wanted."""
    low, full = _choose(slot, LOW), _choose(slot, slot.quality)
    return (low.meter.rate if low else 0.0), (full.meter.rate if full else 0.0)


def _choose(slot: Slot, quality: int) -> Source | None:
    """The source that is nearest to this quality."""
    sender, receiver = slot.wanted, slot.receiver
    if sender is None or receiver.outlet is None or receiver not in sender.video_receivers:
        return None
    order = ("l", "", "h") if quality == LOW else ("h", "", "l")
    known = [sender.layers[layer] for layer in order if layer in sender.layers]
    alive = [source for source in known if source.alive]
    if alive:
        return alive[0]
    # Nothing is being sent: stay with what there is rather than wait for something else.
    for current in (slot.pending, slot.source):
        if current in known:
            return current
    return known[0] if known else None


class LayerSelection:
    """Aims the video slots of one call at sources."""

    def __init__(self, gate: KeyframeGate) -> None:
        self._gate = gate

    def set_streams(
        self, receiver: Endpoint, wanted: Sequence[tuple[Endpoint | None, int]], now: float
    ) -> None:
        """Entry i is for slot i; slots beyond the list want nothing."""
        for index, slot in enumerate(receiver.video_slots):
            endpoint, quality = wanted[index] if index < len(wanted) else (None, 0)
            if slot.wanted is not endpoint:
                if slot.wanted is not None:
                    slot.wanted.viewers.pop(slot, None)
                if endpoint is not None:
                    endpoint.viewers[slot] = None
            slot.wanted = endpoint
            slot.quality = quality
        receiver.budget.allot(receiver.video_slots)
        for slot in receiver.video_slots:
            self.aim(slot, Cause.SUBSCRIPTION, now)

    def changed(self, sender: Endpoint, cause: Cause, now: float) -> None:
        """The sender's layers, or who may see them, have changed."""
        for slot in list(sender.viewers):
            self.aim(slot, cause, now)

    def aim(self, slot: Slot, cause: Cause, now: float) -> None:
        """Bring the slot to the source it should show now."""
        target = self._target(slot)
        if target is None or (slot.source is not None and slot.source.endpoint is not target.endpoint):
            self._stop(slot)
        if slot.source is target:
            self._await(slot, None)
        else:
            self._await(slot, target)
            if target is not None:
                self._gate.request(target, cause, now)

    def keyframe_watch(self, source: Source, frame: int, now: float) -> None:
        """A new packet of a source of which somebody wants a keyframe, not yet counted."""
        if frame != NO_DESCRIPTOR:
            source.described = True
        if frame == KEYFRAME_START or not source.described:
            if source.waiting:
                self._switch(source, now)
            if frame == KEYFRAME_START and source.route is not None:
                self._gate.forwarded(source)

    def closed(self, source: Source) -> None:
        """The source is gone; who watched it is aimed anew by the caller."""
        for slot in list(source.slots):
            slot.detach()
        for slot in list(source.waiting):
            self._await(slot, None)
        self._gate.forget(source)
        source.reroute()

    def _target(self, slot: Slot) -> Source | None:
        if slot.granted is Grant.PAUSED:
            return None
        return _choose(slot, LOW if slot.granted is Grant.LOW else slot.quality)

    def _switch(self, source: Source, now: float) -> None:
        changed: dict[Source, None] = {}
        for slot in list(source.waiting):
            before = slot.detach()
            if before is not None:
                changed[before] = None
            slot.pending = None
            slot.attach(source, now)
        source.waiting.clear()
        source.reroute()
        for before in changed:
            before.reroute()

    def _stop(self, slot: Slot) -> None:
        source = slot.detach()
        if source is not None:
            source.reroute()

    def _await(self, slot: Slot, target: Source | None) -> None:
        if slot.pending is not None:
            del slot.pending.waiting[slot]
        slot.pending = target
        if target is not None:
            target.waiting[slot] = None
            target.watched = True
