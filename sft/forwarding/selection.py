"""Which speakers a receiver hears: five slots, however many talk (protocol section 6.4).

Slot 0 belongs to the roster's first participant, who is always forwarded, silent or not. The other
slots go to those who speak. A speaker that has its slot everywhere costs nothing here per packet; one
that lacks a slot somewhere looks for it every RETRY seconds, or as soon as a slot was freed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sft.forwarding.source import Source

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.forwarding.slot import Slot

SILENT = 110
"""Smoothed audio level in -dBov from which a participant is silent."""

RETRY = 0.2
"""Seconds between two attempts of one speaker to get the slots it lacks."""

STALE = 0.5
"""Seconds without a packet after which a slot's holder may be replaced."""

MARGIN = 10
"""dB by which a newcomer must be louder than the holder it replaces..."""

HOLD = 1.0
"""... which has had its slot for at least so many seconds. Both are compared by their peaks, which
follow the level up at once and down by 1 dB per packet, so that a pause between words loses no slot."""


class AudioSelection:
    """Gives the audio slots of one call to its speakers."""

    def __init__(self) -> None:
        self.version = 0
        """Changes when a slot was freed."""
        self._first: Endpoint | None = None

    def set_first(self, first: Endpoint | None) -> None:
        """The roster has another first participant (or none)."""
        before, self._first = self._first, first
        for endpoint in (before, first):
            if endpoint is None:
                continue
            # As a receiver it has its own slot 0 to fill with anybody exactly while it is the first.
            self._free(list(endpoint.audio_slots[:1]))
            if endpoint.audio is not None:
                endpoint.audio.first = endpoint is first
                self.refresh(endpoint.audio)

    def added(self, source: Source) -> None:
        """A participant's audio has begun."""
        source.first = source.endpoint is self._first
        self.refresh(source)

    def refresh(self, source: Source) -> None:
        """Who may hear it, or whether it is the first, has changed: give up slots it may not hold."""
        sender = source.endpoint
        allowed = {receiver for receiver in sender.audio_receivers if receiver.outlet is not None}
        allowed.discard(sender)
        self._free(
            [
                slot
                for slot in source.slots
                if slot.receiver not in allowed or slot not in self._choices(slot.receiver, source)
            ]
        )
        source.lacking = allowed - {slot.receiver for slot in source.slots}
        source.try_version = -1

    def silence(self, source: Source) -> None:
        """A speaker has fallen silent: its slots are free for others."""
        self._free(list(source.slots))

    def leave(self, receiver: Endpoint) -> None:
        """A receiver is gone: its slots are nobody's, and nobody lacks one."""
        self._free(list(receiver.audio_slots))
        if receiver.table is not None:
            for sender in receiver.table.endpoints:
                if sender.audio is not None:
                    sender.audio.lacking.discard(receiver)
        if self._first is receiver:
            self._first = None

    def seek(self, source: Source, now: float) -> None:
        """Get slots where a speaker lacks them; called with its newest packet, not yet counted."""
        source.try_at = now + RETRY
        source.try_version = self.version
        found = []
        changed: dict[Source, None] = {}
        for receiver in source.lacking:
            slot = self._choose(receiver, source, now)
            if slot is None:
                continue
            found.append(receiver)
            loser = slot.detach()
            if loser is not None:
                loser.lacking.add(receiver)
                changed[loser] = None
            slot.attach(source, now)
        if found:
            source.lacking.difference_update(found)
            source.reroute()
            for loser in changed:
                loser.reroute()

    def _choices(self, receiver: Endpoint, source: Source) -> tuple[Slot, ...]:
        """The receiver's slots that this source may hold."""
        slots = receiver.audio_slots
        if source.first:
            return slots[:1]
        return slots if receiver is self._first else slots[1:]

    def _choose(self, receiver: Endpoint, source: Source, now: float) -> Slot | None:
        """A free slot, else a stale holder's, else the quietest holder's if it is much quieter."""
        quietest: Slot | None = None
        peak = source.peak + MARGIN
        for slot in self._choices(receiver, source):
            holder = slot.source
            if holder is None or source.first or now - holder.arrival > STALE:
                return slot
            if holder.peak >= peak and now - slot.since >= HOLD:
                quietest, peak = slot, holder.peak
        return quietest

    def _free(self, slots: list[Slot]) -> None:
        changed: dict[Source, None] = {}
        for slot in slots:
            source = slot.detach()
            if source is not None:
                source.lacking.add(slot.receiver)
                changed[source] = None
        for source in changed:
            source.reroute()
        if changed:
            self.version += 1
