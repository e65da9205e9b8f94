"""Control time of the native engine: keys, slots and paths become what engine.c reads."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

from pylibsrtp import Error, Session
from pylibsrtp._binding import ffi as srtp_ffi
from pylibsrtp._binding import lib as srtp_lib

from sft.plugin import Address, Base, Drop, Drops, EngineSlot, SrtpParameters, outbound_session
from sft_engine_native._engine import ffi, lib


def _foreign(pointer: Any) -> int:
    """A pointer of pylibsrtp's binding, for ours."""
    return int(srtp_ffi.cast("uintptr_t", pointer))


_PROTECT = ffi.cast("protect_function", _foreign(srtp_ffi.addressof(srtp_lib, "srtp_protect")))

_IPV4 = struct.Struct("=H2s4s8x")
_IPV6 = struct.Struct("=H2sI16sI")


def socket_address(address: Address) -> bytes | None:
    """``sockaddr_in`` or ``sockaddr_in6``; None: it is neither."""
    host, port, *rest = address
    try:
        if ":" not in host:
            return _IPV4.pack(socket.AF_INET, port.to_bytes(2, "big"), socket.inet_pton(socket.AF_INET, host))
        flow, scope = rest or (0, 0)
        number = socket.inet_pton(socket.AF_INET6, host)
        return _IPV6.pack(socket.AF_INET6, port.to_bytes(2, "big"), socket.htonl(flow), number, scope)
    except OSError:
        return None


class NativeSlot:
    """Holds its outlet, and so everything that its C struct points to."""

    __slots__ = ("c", "outlet")

    def __init__(self, outlet: NativeOutlet, ssrc: int) -> None:
        self.outlet = outlet
        self.c: Any = ffi.new("struct slot *", {"outlet": outlet.c, "ssrc": ssrc})

    def attach(self, sequence_offset: int, timestamp_offset: int) -> None:
        self.c.sequence_offset = sequence_offset & 0xFFFF
        self.c.timestamp_offset = timestamp_offset & 0xFFFFFFFF


class NativeOutlet:
    """One receiver. Its session lives as long as its slots: a route that outlasts ``close`` finds no way
    out, but never freed memory."""

    __slots__ = ("_address", "_engine", "_handle", "_send", "_session", "c")

    def __init__(self, engine: NativeEngine, srtp: SrtpParameters) -> None:
        self._session: Session = outbound_session(srtp)
        self._engine = engine
        self._send: Any = None
        self._address: Address = ("", 0)
        self._handle = ffi.new_handle(self)
        pointer = ffi.cast("void *", _foreign(self._session._srtp[0]))
        self.c: Any = ffi.new("struct outlet *", {"srtp": pointer, "handle": self._handle, "fd": -1})

    def set_path(self, base: Base, address: Address) -> None:
        self._engine.flush_one(self)
        self._send = base.send
        self._address = address
        packed = None if base.fd is None else socket_address(address)
        if packed is None:
            self.c.fd = -1
        else:
            ffi.memmove(self.c.address, packed, len(packed))
            self.c.address_length = len(packed)
            self.c.fd = base.fd

    def open_slot(self, ssrc: int) -> NativeSlot:
        return NativeSlot(self, ssrc)

    def send_rtcp(self, compound: bytes) -> None:
        try:
            protected = self._session.protect_rtcp(compound)
        except (Error, ValueError):
            self._engine.drops.count(Drop.SEND_FAILED)
        else:
            self.send(protected)

    def send(self, data: bytes) -> None:
        """Send what is protected already by the transport's own ``send``."""
        try:
            if self._send is None:
                raise OSError("this receiver has no path")
            self._send(data, self._address)
        except BlockingIOError:
            self._engine.drops.count(Drop.SEND_BLOCKED)
        except OSError:
            self._engine.drops.count(Drop.SEND_FAILED)

    def close(self) -> None:
        self.c.waiting = self.c.used = 0  # its socket may be closed already
        self._engine.flush_one(self)
        self._engine.outlets.discard(self)
        self._send = None
        self.c.fd = -1


@ffi.def_extern()  # type: ignore[untyped-decorator]  # cffi has no types
def hand_over(handle: Any, data: Any, length: int) -> None:
    """A packet for an outlet that has no descriptor."""
    outlet: NativeOutlet = ffi.from_handle(handle)
    outlet.send(ffi.buffer(data, length)[:])


AtEndOfTurn = Callable[[Callable[[], None]], object]
"""Has a callback called when the packets at hand have been taken."""


class NativeEngine:
    """Implements :class:`sft.plugin.Engine`; one per worker.

    With ``at_end_of_turn`` packets wait so long, and those for one receiver leave together; without it each
    leaves at once.
    """

    __slots__ = ("_at_end_of_turn", "_c", "_promised", "drops", "outlets")

    def __init__(self, drops: Drops, at_end_of_turn: AtEndOfTurn | None = None) -> None:
        self.drops = drops
        self.outlets: set[NativeOutlet] = set()
        """Those that are open: the list in C has no references of its own."""
        self._at_end_of_turn = at_end_of_turn
        self._promised = False
        self._c: Any = ffi.new("struct engine *", {"protect": _PROTECT})

    def open_outlet(self, srtp: SrtpParameters) -> NativeOutlet:
        outlet = NativeOutlet(self, srtp)
        self.outlets.add(outlet)
        return outlet

    def make_route(self, slots: Sequence[EngineSlot], csrc: int) -> object:
        """(C struct, what it points to)"""
        own = tuple(_own(slot) for slot in slots)
        route = ffi.new("struct route *", {"csrc": csrc, "count": len(own), "slots": [one.c for one in own]})
        return route, own

    def fan_out(self, route: Any, packet: bytes, sequence: int) -> None:
        lib.fan_out(self._c, route[0], packet, len(packet), sequence & 0xFFFF)
        if not self._promised:
            self._flush_later()

    def repeat(self, slot: EngineSlot, packet: bytes, csrc: int, sequence: int, timestamp: int) -> None:
        numbers = sequence & 0xFFFF, timestamp & 0xFFFFFFFF
        lib.repeat(self._c, _own(slot).c, csrc, packet, len(packet), *numbers)
        if not self._promised:
            self._flush_later()

    def flush(self) -> None:
        """Send what waits, and count what could not be sent."""
        self._promised = False
        lib.flush(self._c)
        self._count()

    def flush_one(self, outlet: NativeOutlet) -> None:
        """Send what waits for one receiver."""
        lib.flush_one(self._c, outlet.c)
        self._count()

    def _flush_later(self) -> None:
        if self._at_end_of_turn is None:
            self.flush()
        else:
            self._promised = True
            self._at_end_of_turn(self.flush)

    def _count(self) -> None:
        c, counts = self._c, self.drops.counts
        if c.too_large or c.blocked or c.failed:
            counts[Drop.TOO_LARGE] += c.too_large
            counts[Drop.SEND_BLOCKED] += c.blocked
            counts[Drop.SEND_FAILED] += c.failed
            c.too_large = c.blocked = c.failed = 0


def _own(slot: EngineSlot) -> NativeSlot:
    if not isinstance(slot, NativeSlot):
        raise TypeError("a slot of another engine")
    return slot
