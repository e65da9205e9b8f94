"""The fan-out in Python: for each slot rewrite the header, protect, send (packet-path rule 9)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from sft.forwarding.libsrtp import BYTES, LENGTH, MEMORY, pointer, protect, protect_rtcp
from sft.model import Address, Drop, Drops, SrtpParameters
from sft.webrtc.rtp import CSRC_COUNT
from sft.webrtc.srtp import outbound_session

if TYPE_CHECKING:
    from sft.plugin.interfaces import Base, EngineSlot

_START = struct.Struct("!BBHI")
_HEADER = 16
"""Bytes of the header as it goes out: fixed part and one CSRC."""

MAX_PACKET = 1900
"""Bytes of a plain packet; libsrtp may add up to 144, and the buffer has 2048."""


@cache
def _packer(size: int) -> Any:
    """Writes a packet at once: its header and ``size`` bytes behind that."""
    return struct.Struct(f"!BBHIII{size}s").pack_into


def _nowhere(data: bytes, address: Address) -> object:
    raise OSError("this receiver has no path")


class PythonSlot:
    """The rewriting state of one slot."""

    __slots__ = ("_outlet", "_sequence_offset", "_ssrc", "_timestamp_offset", "row")

    def __init__(self, outlet: PythonOutlet, ssrc: int) -> None:
        self._outlet = outlet
        self._ssrc = ssrc
        self._sequence_offset = 0
        self._timestamp_offset = 0
        self.refresh()

    def attach(self, sequence_offset: int, timestamp_offset: int) -> None:
        self._sequence_offset = sequence_offset
        self._timestamp_offset = timestamp_offset
        self.refresh()

    def refresh(self) -> None:
        """All a packet needs in one tuple: the loop then reads one attribute per receiver."""
        outlet = self._outlet
        self.row = (
            self._sequence_offset,
            self._timestamp_offset,
            self._ssrc,
            outlet.srtp,
            outlet.send,
            outlet.address,
        )


class PythonOutlet:
    """One receiver's keys and way out."""

    __slots__ = ("_drops", "_session", "_slots", "address", "send", "srtp")

    def __init__(self, srtp: SrtpParameters, drops: Drops) -> None:
        self._drops = drops
        # The rows hold a bare pointer into the session, so the session lives as long as its slots do:
        # a route that outlasts ``close`` finds no way out, but never freed memory.
        self._session = outbound_session(srtp)
        self._slots: list[PythonSlot] = []
        self.srtp: Any = pointer(self._session)
        self.send: Any = _nowhere
        self.address: Address = ("", 0)

    def set_path(self, base: Base, address: Address) -> None:
        self.send = base.send
        self.address = address
        for slot in self._slots:
            slot.refresh()

    def open_slot(self, ssrc: int) -> PythonSlot:
        slot = PythonSlot(self, ssrc)
        self._slots.append(slot)
        return slot

    def send_rtcp(self, compound: bytes) -> None:
        size = len(compound)
        BYTES[0:size] = compound
        LENGTH[0] = size
        if protect_rtcp(self.srtp, MEMORY, LENGTH):
            self._drops.count(Drop.SEND_FAILED)
            return
        try:
            self.send(BYTES[0 : LENGTH[0]], self.address)
        except BlockingIOError:
            self._drops.count(Drop.SEND_BLOCKED)
        except OSError:
            self._drops.count(Drop.SEND_FAILED)

    def close(self) -> None:
        self.send = _nowhere
        for slot in self._slots:
            slot.refresh()
        self._slots.clear()


class PythonEngine:
    """Implements ``sft.plugin.interfaces.Engine`` with pylibsrtp's libsrtp; one per worker."""

    __slots__ = ("_drops",)

    def __init__(self, drops: Drops) -> None:
        self._drops = drops

    def open_outlet(self, srtp: SrtpParameters) -> PythonOutlet:
        return PythonOutlet(srtp, self._drops)

    def make_route(self, slots: Sequence[EngineSlot], csrc: int) -> object:
        return tuple(slots), csrc

    def fan_out(self, route: Any, packet: bytes, sequence: int) -> None:
        slots, csrc = route
        first, second, _, timestamp = _START.unpack_from(packet)
        rest = packet[12 + 4 * (first & CSRC_COUNT) :]
        first = first & 0xF0 | 1
        size = _HEADER + len(rest)
        if size > MAX_PACKET:
            self._drops.count(Drop.TOO_LARGE)
            return
        # Names of the module as locals: each is used once per receiver.
        pack, memory, view, length, encrypt = _packer(len(rest)), MEMORY, BYTES, LENGTH, protect
        for slot in slots:
            sequence_offset, timestamp_offset, ssrc, srtp, send, address = slot.row
            pack(
                view,
                0,
                first,
                second,
                sequence + sequence_offset & 0xFFFF,
                timestamp + timestamp_offset & 0xFFFFFFFF,
                ssrc,
                csrc,
                rest,
            )
            length[0] = size
            if encrypt(srtp, memory, length):
                self._drops.count(Drop.SEND_FAILED)
                continue
            try:
                send(view[0 : length[0]], address)
            except BlockingIOError:
                self._drops.count(Drop.SEND_BLOCKED)
            except OSError:
                self._drops.count(Drop.SEND_FAILED)

    def repeat(self, slot: EngineSlot, packet: bytes, csrc: int, sequence: int, timestamp: int) -> None:
        """One packet to one slot with given numbers: a fan-out with these as its offsets."""
        if not isinstance(slot, PythonSlot):
            raise TypeError("a slot of another engine")
        _, _, packet_sequence, packet_timestamp = _START.unpack_from(packet)
        once = _Repeat(slot, sequence - packet_sequence, timestamp - packet_timestamp)
        self.fan_out(((once,), csrc), packet, packet_sequence)


class _Repeat:
    """Stands in for a slot in the route of a single repeat."""

    __slots__ = ("row",)

    def __init__(self, slot: PythonSlot, sequence_offset: int, timestamp_offset: int) -> None:
        self.row = (sequence_offset, timestamp_offset, *slot.row[2:])
