"""Control time of the native engine: keys, slots and paths become what engine.c reads."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pylibsrtp import Error, Session
from pylibsrtp._binding import ffi as srtp_ffi
from pylibsrtp._binding import lib as srtp_lib

from sft.forwarding.endpoint import Endpoint
from sft.forwarding.libsrtp import Inbound, refusal
from sft.forwarding.loop import AUDIO, receive, receive_rtp_untrusted
from sft.forwarding.rewrite import WINDOW, Numbering
from sft.forwarding.selection import SILENT
from sft.forwarding.source import Source
from sft.plugin import (
    Address,
    BadPacket,
    Base,
    Drop,
    Drops,
    EngineSlot,
    OnReadable,
    ReadableBase,
    SrtpParameters,
    Wait,
    outbound_session,
)
from sft_engine_native._engine import ffi, lib
from sft_engine_native._way_in import Reader, Waiter, set_up


def _foreign(pointer: Any) -> int:
    """A pointer of pylibsrtp's binding, for ours."""
    return int(srtp_ffi.cast("uintptr_t", pointer))


_PROTECT = ffi.cast("protect_function", _foreign(srtp_ffi.addressof(srtp_lib, "srtp_protect")))


def _own_function(name: str) -> int:
    return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))


set_up(
    endpoint=Endpoint,
    source=Source,
    numbering=Numbering,
    audio=AUDIO,
    drop_silent=Drop.RTP_SILENT,
    silent=SILENT,
    most_dropped=2 * WINDOW,
    unprotect=_foreign(srtp_ffi.addressof(srtp_lib, "srtp_unprotect")),
    fan_out=_own_function("fan_out"),
    flush=_own_function("flush"),
)

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
        self.c.alone = not getattr(base, "segments", False)
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
        self._engine.flush_one(self)
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


class NativeEngine:
    """Implements :class:`sft.plugin.ReadingEngine`; one per worker.

    Each packet leaves at once, but of what is read together those for one receiver leave together.
    """

    __slots__ = ("_address", "_c", "drop_counts", "drops", "outlets")

    def __init__(self, drops: Drops) -> None:
        self.drops = drops
        self.drop_counts = drops.counts
        self.outlets: set[NativeOutlet] = set()
        """Those that are open: the list in C has no references of its own."""
        self._c: Any = ffi.new("struct engine *", {"protect": _PROTECT, "at_once": 1})
        self._address = int(ffi.cast("uintptr_t", self._c))

    def open_outlet(self, srtp: SrtpParameters) -> NativeOutlet:
        outlet = NativeOutlet(self, srtp)
        self.outlets.add(outlet)
        return outlet

    def make_route(self, slots: Sequence[EngineSlot], csrc: int) -> object:
        """(address of the C struct, the struct, what it points to)"""
        own = tuple(_own(slot) for slot in slots)
        route = ffi.new("struct route *", {"csrc": csrc, "count": len(own), "slots": [one.c for one in own]})
        return int(ffi.cast("uintptr_t", route)), route, own

    def fan_out(self, route: Any, packet: bytes, sequence: int) -> None:
        lib.fan_out(self._c, route[1], packet, len(packet), sequence & 0xFFFF)
        self.count()

    def repeat(self, slot: EngineSlot, packet: bytes, csrc: int, sequence: int, timestamp: int) -> None:
        numbers = sequence & 0xFFFF, timestamp & 0xFFFFFFFF
        lib.repeat(self._c, _own(slot).c, csrc, packet, len(packet), *numbers)
        self.count()

    def hold(self) -> None:
        """Packets wait until :meth:`flush`."""
        self._c.at_once = 0

    def flush(self) -> None:
        """Send what waits, and count what could not be sent."""
        lib.flush(self._c)
        self._c.at_once = 1
        self.count()

    def flush_one(self, outlet: NativeOutlet) -> None:
        """Send what waits for one receiver."""
        lib.flush_one(self._c, outlet.c)
        self.count()

    def count(self) -> None:
        """Bring what went no further to the worker's counters."""
        c, counts = self._c, self.drop_counts
        if c.too_large or c.blocked or c.failed:
            counts[Drop.TOO_LARGE] += c.too_large
            counts[Drop.SEND_BLOCKED] += c.blocked
            counts[Drop.SEND_FAILED] += c.failed
            c.too_large = c.blocked = c.failed = 0

    # The way in: what C asks for, and what it leaves to Python.

    def receiver(self, endpoint: Endpoint) -> NativeReceive:
        return NativeReceive(self, endpoint)

    def waiter(
        self,
        epoll: int,
        loop: int,
        watched: dict[int, OnReadable],
        clock: Callable[[], float],
        on_error: Callable[[BaseException], None],
    ) -> Wait:
        # Of several looks at both clocks the one that was disturbed least.
        offset = max(clock() - time.monotonic() for _ in range(100))
        return Waiter(self._address, self, epoll, loop, offset, watched, on_error)

    def reader(self, base: ReadableBase, endpoint_of: Callable[[Any], Endpoint]) -> OnReadable:
        """``endpoint_of``: whose an address is, by what ``base.proven`` has of it."""
        return Reader(self._address, self, base, endpoint_of)

    def session_of(self, inbound: Inbound) -> int:
        """The address of its ``srtp_t``."""
        return _foreign(inbound.srtp)

    def refused(self, status: int) -> None:
        """libsrtp did not take a packet."""
        self.drops.count(refusal(status))

    def take_rare(self, endpoint: Endpoint, packet: bytes, now: float) -> None:
        """An authenticated packet that is not the common case."""
        try:
            receive_rtp_untrusted(endpoint, packet, now)
        except BadPacket as bad:
            self.drops.count(bad.reason)


class NativeReceive(partial[bool | None]):
    """The way of an endpoint's datagrams, for transports; and what reads them from a socket."""

    def __new__(cls, engine: NativeEngine, endpoint: Endpoint) -> NativeReceive:
        self = super().__new__(cls, receive, endpoint)
        self.engine = engine
        return self

    engine: NativeEngine

    def reader(self, base: ReadableBase, whose: Callable[[Any], NativeReceive] | None) -> OnReadable:
        def endpoint_of(proof: object) -> Endpoint:
            endpoint: Endpoint = (self if whose is None else whose(proof)).args[0]
            return endpoint

        return self.engine.reader(base, endpoint_of)


def _own(slot: EngineSlot) -> NativeSlot:
    if not isinstance(slot, NativeSlot):
        raise TypeError("a slot of another engine")
    return slot
