"""The fan-out in Python: for each slot rewrite the header, protect, send (packet-path rule 9).

Each packet leaves at once; or, while the engine is told to hold, what goes to one receiver leaves together,
as segments of one system call where its way out has such.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from sft.forwarding.libsrtp import BATCH, BYTES, LENGTH, MEMORY, ROOM, pointer, protect, protect_rtcp
from sft.model import Address, Drop, Drops, SrtpParameters
from sft.webrtc.rtp import CSRC_COUNT
from sft.webrtc.srtp import outbound_session

if TYPE_CHECKING:
    from sft.plugin.interfaces import Base, EngineSlot

_START = struct.Struct("!BBHI")
_HEADER = 16
"""Bytes of the header as it goes out: fixed part and one CSRC."""

MAX_PACKET = ROOM - 148
"""Bytes of a plain packet; libsrtp may add up to 144."""

_Row: TypeAlias = tuple[int, int, int, Any, Any, Address]
_Held: TypeAlias = tuple[_Row, tuple[Any, int, int, int, int, int, bytes]]
"""A slot's row as it was when the packet came, and the packet."""


@cache
def _packer(size: int) -> Any:
    """Writes a packet at once: its header and ``size`` bytes behind that."""
    return struct.Struct(f"!BBHIII{size}s").pack_into


def _nowhere(data: bytes, address: Address) -> object:
    raise OSError("this receiver has no path")


def _lose(held: _Held) -> None:
    """In place of holding, for a route that outlasts its receiver."""


class PythonSlot:
    """The rewriting state of one slot."""

    __slots__ = ("_outlet", "_sequence_offset", "_ssrc", "_timestamp_offset", "hold", "row")

    def __init__(self, outlet: PythonOutlet, ssrc: int) -> None:
        self._outlet = outlet
        self._ssrc = ssrc
        self._sequence_offset = 0
        self._timestamp_offset = 0
        self.hold: Callable[[_Held], None] = outlet.held.append
        self.refresh()

    def attach(self, sequence_offset: int, timestamp_offset: int) -> None:
        self._sequence_offset = sequence_offset
        self._timestamp_offset = timestamp_offset
        self.refresh()

    def refresh(self) -> None:
        """All a packet needs in one tuple: the loop then reads one attribute per receiver."""
        outlet = self._outlet
        self.row: _Row = (
            self._sequence_offset,
            self._timestamp_offset,
            self._ssrc,
            outlet.srtp,
            outlet.send,
            outlet.address,
        )


class PythonOutlet:
    """One receiver's keys and way out."""

    __slots__ = (
        "_drops",
        "_on_close",
        "_send_segments",
        "_session",
        "_slots",
        "address",
        "held",
        "send",
        "srtp",
    )

    def __init__(
        self, srtp: SrtpParameters, drops: Drops, on_close: Callable[[PythonOutlet], object]
    ) -> None:
        self._drops = drops
        self._on_close = on_close
        # The rows hold a bare pointer into the session, so the session lives as long as its slots do:
        # a route that outlasts ``close`` finds no way out, but never freed memory.
        self._session = outbound_session(srtp)
        self._slots: list[PythonSlot] = []
        self.srtp: Any = pointer(self._session)
        self.send: Any = _nowhere
        self._send_segments: Any = None
        self.address: Address = ("", 0)
        self.held: list[_Held] = []
        """Waits for :meth:`release`; always the same list."""

    def set_path(self, base: Base, address: Address) -> None:
        self.release()
        self.send = base.send
        self._send_segments = getattr(base, "send_segments", None)
        self.address = address
        for slot in self._slots:
            slot.refresh()

    def open_slot(self, ssrc: int) -> PythonSlot:
        slot = PythonSlot(self, ssrc)
        self._slots.append(slot)
        return slot

    def send_rtcp(self, compound: bytes) -> None:
        self.release()
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

    def release(self) -> None:
        """Send what was held, in its order."""
        held = self.held
        for first in range(0, len(held), BATCH):
            self._send_batch(held[first : first + BATCH])
        held.clear()

    def close(self) -> None:
        """What is held is lost."""
        self._on_close(self)
        self.send = _nowhere
        self.held.clear()
        for slot in self._slots:
            slot.hold = _lose
            slot.refresh()
        self._slots.clear()

    def _send_batch(self, held: Sequence[_Held]) -> None:
        """Protect one packet behind the other. Those of one size and a smaller one at their end leave
        together."""
        srtp, memory, view, length, encrypt = self.srtp, MEMORY, BYTES, LENGTH, protect
        start = end = size = last = 0
        for row, (pack, first, second, sequence, timestamp, csrc, rest) in held:
            sequence_offset, timestamp_offset, ssrc, _, _, _ = row
            pack(
                view,
                end,
                first,
                second,
                sequence + sequence_offset & 0xFFFF,
                timestamp + timestamp_offset & 0xFFFFFFFF,
                ssrc,
                csrc,
                rest,
            )
            length[0] = _HEADER + len(rest)
            if encrypt(srtp, memory + end, length):
                self._drops.count(Drop.SEND_FAILED)
                continue
            protected = length[0]
            if last < size or protected > size:
                self._send_run(start, end, size)
                start, size = end, protected
            last = protected
            end += protected
        self._send_run(start, end, size)

    def _send_run(self, start: int, end: int, size: int) -> None:
        """Send what lies there, ``size`` bytes each and the last of as many or fewer."""
        if end - start > size and self._send_segments is not None:
            try:
                self._send_segments(BYTES[start:end], size, self.address)
                return
            except BlockingIOError:
                for _ in range(start, end, size):
                    self._drops.count(Drop.SEND_BLOCKED)
                return
            except OSError:
                pass  # not together, perhaps one by one
        for at in range(start, end, size or 1):
            try:
                self.send(BYTES[at : min(at + size, end)], self.address)
            except BlockingIOError:
                self._drops.count(Drop.SEND_BLOCKED)
            except OSError:
                self._drops.count(Drop.SEND_FAILED)


class PythonEngine:
    """Implements ``sft.plugin.interfaces.HoldingEngine`` with pylibsrtp's libsrtp; one per worker."""

    __slots__ = ("_drops", "_holding", "_outlets")

    def __init__(self, drops: Drops) -> None:
        self._drops = drops
        self._outlets: dict[PythonOutlet, None] = {}
        self._holding = False

    def open_outlet(self, srtp: SrtpParameters) -> PythonOutlet:
        outlet = PythonOutlet(srtp, self._drops, self._outlets.pop)
        self._outlets[outlet] = None
        return outlet

    def make_route(self, slots: Sequence[EngineSlot], csrc: int) -> object:
        return tuple(slots), csrc

    def hold(self) -> None:
        self._holding = True

    def release(self) -> None:
        if self._holding:
            self._holding = False
            for outlet in list(self._outlets):
                if outlet.held:
                    outlet.release()

    def fan_out(self, route: Any, packet: bytes, sequence: int) -> None:
        slots, csrc = route
        first, second, _, timestamp = _START.unpack_from(packet)
        rest = packet[12 + 4 * (first & CSRC_COUNT) :]
        first = first & 0xF0 | 1
        size = _HEADER + len(rest)
        if size > MAX_PACKET:
            self._drops.count(Drop.TOO_LARGE)
            return
        pack = _packer(len(rest))
        if self._holding:
            plain = pack, first, second, sequence, timestamp, csrc, rest
            for slot in slots:
                slot.hold((slot.row, plain))
            return
        # Names of the module as locals: each is used once per receiver.
        memory, view, length, encrypt = MEMORY, BYTES, LENGTH, protect
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

    __slots__ = ("hold", "row")

    def __init__(self, slot: PythonSlot, sequence_offset: int, timestamp_offset: int) -> None:
        self.hold = slot.hold
        self.row = (sequence_offset, timestamp_offset, *slot.row[2:])
