"""Generic NACK (RFC 4585 section 6.2.1), both ways, and RTX (RFC 4588) from senders.

We ask senders for what we miss of a source, and answer receivers that miss something of a slot.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, TypeAlias

from sft.errors import BadPacket
from sft.forwarding.rewrite import MAX_DROPOUT
from sft.model import Drop
from sft.webrtc.rtp import FIXED_HEADER, PAYLOAD_VIDEO

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.forwarding.slot import Slot
    from sft.forwarding.source import Source

REORDER = 0.01
"""Seconds a missing packet is waited for before it is asked for."""

RETRY = 0.1
"""Seconds between two NACKs for a packet while the round trip to the sender is not known."""

RETRY_SHARE = 0.55
"""The same as a share of the round trip. Chrome sends a packet again at most once in a round trip: the
NACK after the next makes up for a lost repeat as soon as it may be, the one between for a lost NACK."""

MIN_RETRY, MAX_RETRY = 0.03, 0.25

GIVE_UP, MAX_GIVE_UP = 0.6, 1.5
GIVE_UP_TRIPS = 3.5
"""Round trips after which a packet is lost, however often it was asked for, within these seconds."""

IN_VAIN = 32
"""Packets asked for in vain, none repeated, after which a sender is taken for one that takes no NACKs."""

PATIENCE = 0.1
"""Seconds a missing packet is waited for when the sender takes no NACKs."""

MAX_MISSING = 128
"""Missing packets per source; beyond that only a keyframe helps."""

REPEAT_AGE = 1.0
"""Seconds a packet may be repeated after it came."""

REPEAT_TIMES = 4
REPEAT_SPACING = 0.01
"""How often a slot is answered about one packet, and seconds between."""

REPEAT_RATE = 200.0
REPEAT_BURST = 64.0
"""Repeats per second to one receiver, and at once."""

_REPEATED_KEPT = 256

_ORIGINAL = struct.Struct("!H")
"""The sequence number of what an RTX packet repeats, before its payload."""

_Missing: TypeAlias = tuple[float, float, bool]
"""(when it is due, since when it is missing, whether it was asked for)."""


class Gaps:
    """What is missing of one source."""

    __slots__ = ("_hope", "_missing", "lost", "reordered", "repaired", "requested")

    def __init__(self, hope: float) -> None:
        """``hope``: how many packets may be asked for in vain before the sender is no longer asked: none if
        it takes no NACKs, infinity if it said it does."""
        self._hope = hope
        self._missing: dict[int, _Missing] = {}  # by extended number
        self.requested = 0
        """Packets asked for, every repetition counted."""
        self.reordered = self.repaired = self.lost = 0
        """What became of missing packets: came without being asked for, came after it, given up."""

    def __bool__(self) -> bool:
        return bool(self._missing)

    def opened(self, first: int, last: int, now: float) -> bool:
        """Extended numbers first..last were skipped. False: there are too many to ask for, none is kept."""
        if last - first >= MAX_MISSING - len(self._missing):
            if last - first < MAX_DROPOUT:  # else the sender began anew, and nothing is missing
                self.lost += len(self._missing) + last - first + 1
            self._missing.clear()
            return False
        due = now + (REORDER if self._hope > 0 else PATIENCE)
        for number in range(first, last + 1):
            self._missing[number] = (due, now, False)
        return True

    def filled(self, number: int) -> None:
        """The packet came after all."""
        found = self._missing.pop(number, None)
        if found is None:
            return
        if found[2]:
            self.repaired += 1
            self._hope = math.inf
        else:
            self.reordered += 1

    def misses(self, number: int) -> bool:
        """Whether the packet is waited for."""
        return number in self._missing

    def clear(self) -> None:
        self._missing.clear()

    @property
    def deadline(self) -> float | None:
        return min((due for due, _, _ in self._missing.values()), default=None)

    def due(self, now: float, round_trip: float) -> tuple[list[int], bool]:
        """Extended numbers to ask for now, ascending; and whether a packet had to be given up.

        ``round_trip``: seconds to the sender and back, 0 if unknown.
        """
        retry = min(max(MIN_RETRY, RETRY_SHARE * round_trip), MAX_RETRY) if round_trip else RETRY
        give_up = min(max(GIVE_UP, GIVE_UP_TRIPS * round_trip), MAX_GIVE_UP)
        ask, lost = [], []
        for number, (due, since, _) in self._missing.items():
            if due > now:
                continue
            if self._hope > 0 and now - since < give_up:
                self._missing[number] = (now + retry, since, True)
                ask.append(number)
            else:
                lost.append(number)
        for number in lost:
            del self._missing[number]
        self._hope -= len(lost)
        self.requested += len(ask)
        self.lost += len(lost)
        return sorted(ask), bool(lost)


def restore_untrusted(endpoint: Endpoint, packet: bytes, payload: int, rid: int) -> tuple[Source, bytes, int]:
    """What an RTX packet repeats (RFC 4588 section 4): the source, the packet as it was, its sequence number.

    ``payload`` is the payload's offset, ``rid`` the repaired RID. Chrome probes for bandwidth with repeats
    that nobody asked for, and with empty ones: BadPacket, as for everything that is not waited for.
    """
    _, second, _, timestamp, ssrc = FIXED_HEADER.unpack_from(packet)
    source = endpoint.repaired(ssrc, rid)
    if source is None:
        endpoint.forget(ssrc)
        raise BadPacket(Drop.RTP_UNKNOWN_SOURCE)
    if len(packet) - payload <= _ORIGINAL.size:
        raise BadPacket(Drop.RTP_PADDING)
    (sequence,) = _ORIGINAL.unpack_from(packet, payload)
    highest = source.numbering.highest
    if not source.gaps.misses(highest - (highest - sequence & 0xFFFF)):
        raise BadPacket(Drop.RTP_UNASKED)
    header = FIXED_HEADER.pack(packet[0], second & 0x80 | PAYLOAD_VIDEO, sequence, timestamp, source.ssrc)
    return source, header + packet[12:payload] + packet[payload + _ORIGINAL.size :], sequence


class RepeatBudget:
    """A token bucket: how many packets one receiver may have repeated."""

    __slots__ = ("_at", "_tokens", "octets")

    def __init__(self) -> None:
        self.octets = 0
        """Of packets that were repeated."""
        self._tokens = REPEAT_BURST
        self._at = 0.0

    def take(self, now: float) -> bool:
        if now > self._at:
            self._tokens = min(REPEAT_BURST, self._tokens + (now - self._at) * REPEAT_RATE)
            self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def repeat(receiver: Endpoint, slot: Slot, lost: tuple[int, ...], now: float) -> None:
    """Answer a receiver's NACK: each packet byte for byte as it went out, under the numbers of that time.

    A packet that is not in the ring is left out: it is either missing here as well, and will be
    forwarded at its place when it comes, or too old.
    """
    if slot.engine_slot is None:
        return
    slot.nacked += len(lost)
    newest = slot.last_sequence
    for sequence in lost:
        number = newest - (newest - sequence & 0xFFFF)
        times, last = slot.repeated.get(number, (0, float("-inf")))
        if times >= REPEAT_TIMES or now - last < REPEAT_SPACING:
            continue
        found = _find(slot, number, now)
        if found is None:
            continue
        packet, csrc, timestamp_offset = found
        timestamp = FIXED_HEADER.unpack_from(packet)[3] + timestamp_offset & 0xFFFFFFFF
        if len(slot.repeated) >= _REPEATED_KEPT:
            del slot.repeated[next(iter(slot.repeated))]
        slot.repeated[number] = (times + 1, now)
        # What was lost twice is late already: it goes twice.
        for _ in range(2 if times else 1):
            if not receiver.repeat_budget.take(now):
                return
            slot.repeats += 1
            receiver.repeat_budget.octets += len(packet)
            receiver.engine.repeat(slot.engine_slot, packet, csrc, number & 0xFFFF, timestamp)


def _find(slot: Slot, number: int, now: float) -> tuple[bytes, int, int] | None:
    """(packet, CSRC, timestamp offset) of what went out, or would have, as this extended number."""
    for attachment in reversed(slot.attachments):
        if number < attachment.first or (attachment.last is not None and number > attachment.last):
            continue
        source_number = number - attachment.sequence_offset
        stored = attachment.ring[source_number & len(attachment.ring) - 1]
        if stored is not None and stored[0] == source_number and now - stored[2] <= REPEAT_AGE:
            return stored[1], attachment.csrc, attachment.timestamp_offset
    return None
