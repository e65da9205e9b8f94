"""Control time of the native engine: keys, slots and paths become what engine.c reads."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from typing import Any

from pylibsrtp import Session
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

    __slots__ = ("_address", "_drops", "_handle", "_send", "_session", "c")

    def __init__(self, srtp: SrtpParameters, drops: Drops) -> None:
        self._session: Session = outbound_session(srtp)
        self._drops = drops
        self._send: Any = None
        self._address: Address = ("", 0)
        self._handle = ffi.new_handle(self)
        pointer = ffi.cast("void *", _foreign(self._session._srtp[0]))
        self.c: Any = ffi.new("struct outlet *", {"srtp": pointer, "handle": self._handle, "fd": -1})

    def set_path(self, base: Base, address: Address) -> None:
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
        self.send(self._session.protect_rtcp(compound))

    def send(self, data: bytes) -> None:
        """Send what is protected already by the transport's own ``send``."""
        try:
            if self._send is None:
                raise OSError("this receiver has no path")
            self._send(data, self._address)
        except BlockingIOError:
            self._drops.count(Drop.SEND_BLOCKED)
        except OSError:
            self._drops.count(Drop.SEND_FAILED)

    def close(self) -> None:
        self._send = None
        self.c.fd = -1


@ffi.def_extern()  # type: ignore[untyped-decorator]  # cffi has no types
def hand_over(handle: Any, data: Any, length: int) -> None:
    """A packet for an outlet that has no descriptor."""
    outlet: NativeOutlet = ffi.from_handle(handle)
    outlet.send(ffi.buffer(data, length)[:])


class NativeEngine:
    """Implements :class:`sft.plugin.Engine`; one per worker."""

    __slots__ = ("_drops", "_trouble")

    def __init__(self, drops: Drops) -> None:
        self._drops = drops
        self._trouble: Any = ffi.new("struct trouble *")

    def open_outlet(self, srtp: SrtpParameters) -> NativeOutlet:
        return NativeOutlet(srtp, self._drops)

    def make_route(self, slots: Sequence[EngineSlot], csrc: int) -> object:
        """(C struct, what it points to)"""
        own = tuple(_own(slot) for slot in slots)
        route = ffi.new("struct route *", {"csrc": csrc, "count": len(own), "slots": [one.c for one in own]})
        return route, own

    def fan_out(self, route: Any, packet: bytes, sequence: int) -> None:
        if lib.fan_out(_PROTECT, self._trouble, route[0], packet, len(packet), sequence & 0xFFFF):
            self._count()

    def repeat(self, slot: EngineSlot, packet: bytes, csrc: int, sequence: int, timestamp: int) -> None:
        own = _own(slot).c
        numbers = sequence & 0xFFFF, timestamp & 0xFFFFFFFF
        if lib.repeat(_PROTECT, self._trouble, own, csrc, packet, len(packet), *numbers):
            self._count()

    def _count(self) -> None:
        trouble, counts = self._trouble, self._drops.counts
        counts[Drop.TOO_LARGE] += trouble.too_large
        counts[Drop.SEND_BLOCKED] += trouble.blocked
        counts[Drop.SEND_FAILED] += trouble.failed
        trouble.too_large = trouble.blocked = trouble.failed = 0


def _own(slot: EngineSlot) -> NativeSlot:
    if not isinstance(slot, NativeSlot):
        raise TypeError("a slot of another engine")
    return slot
