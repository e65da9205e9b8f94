"""What a transport or an engine plugin implements, and what the core hands to it.

All of it is called at control time except :meth:`Base.send` and :meth:`Engine.fan_out`, which are
called for every packet, and the ``on_readable`` callback of :meth:`Services.watch`, which is called
once per wake-up of the worker. None of these may block or await.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import attrs

from sft.model import Address, Candidate, Drops, SrtpParameters

if TYPE_CHECKING:
    from sft.plugin.values import Snapshot


class Base(Protocol):
    """One local end of a transport: a bound UDP port, or one accepted TCP connection.

    A peer's path is a base and a remote address (RFC 8445: the base of a candidate).
    """

    @property
    def fd(self) -> int | None:
        """The UDP socket's descriptor, for engines that send by themselves; None: use ``send``."""

    @property
    def send(self) -> Callable[[bytes, Address], object]:
        """Send one datagram now. Never blocks. ``OSError`` (also ``BlockingIOError``): it was
        dropped, the caller counts it. A bound ``socket.sendto`` of a non-blocking socket fits."""


class Receive(Protocol):
    """The core's end of a transport: takes one datagram. Never raises."""

    def __call__(self, base: Base, data: bytes, address: Address, now: float) -> None: ...


class Transport(Protocol):
    """What carries one peer's datagrams."""

    @property
    def candidates(self) -> Sequence[Candidate]:
        """The ICE candidates to offer; complete when ``open`` returns."""

    def close(self) -> None:
        """Free the port or connection at once. May be called twice."""


class ActiveTransport(Transport, Protocol):
    """A transport that can send to an address before anything came from there. A full ICE agent
    (``[ice] mode = "full"``) checks paths from it; the others' peers have to come by themselves."""

    @property
    def ends(self) -> Sequence[tuple[Base, Candidate]]:
        """Each base with the best of its candidates; complete when ``open`` returns."""


@attrs.frozen
class TransportStats:
    """Read at scrape time."""

    ports_total: int
    ports_free: int
    kernel_drops: int = 0
    """Datagrams the kernel dropped because a receive buffer was full (SO_MEMINFO)."""


@attrs.frozen
class Finding:
    """One line of ``sft-serve check``."""

    ok: bool
    subject: str
    detail: str


class TransportFactory(Protocol):
    """Makes transports; one per worker and kind."""

    @property
    def name(self) -> str:
        """Short name for logs and metrics, e.g. ``udp``."""

    def open(self, receive: Receive) -> Transport:
        """Open a transport for a new peer. ``PortsExhausted``: the join is refused with status 4.
        Another ``TransportError``: the join is refused too, and logged."""

    def stats(self) -> TransportStats: ...

    def check(self) -> Sequence[Finding]:
        """Things an operator wants to know before the start: descriptors, ranges, granted buffers."""

    def close(self) -> None: ...


class CommonServices(Protocol):
    """What the core does for plugins in every process."""

    @property
    def role(self) -> Literal["gateway", "worker"]: ...

    @property
    def workers(self) -> int:
        """How many workers this instance has."""

    def now(self) -> float:
        """The process's clock in seconds (monotonic)."""

    def log(self, event: str, **fields: object) -> None:
        """A structured log line; begin the event with the plugin's name: ``transport_udp.buffer``."""


class Services(CommonServices, Protocol):
    """What the core does for plugins inside a worker. ``workers`` of them share this machine's port
    range: take slice ``worker`` of ``workers``."""

    @property
    def worker(self) -> int:
        """Index of this worker, from 0."""

    @property
    def drops(self) -> Drops: ...

    def watch(self, fd: int, on_readable: Callable[[float], None]) -> None:
        """Have ``on_readable(now)`` called whenever ``fd`` is readable (level-triggered, on the
        worker's one epoll). Read a bounded number of datagrams per call."""

    def unwatch(self, fd: int) -> None:
        """Undo ``watch``. Call it before the descriptor is closed."""

    def call_at(self, when: float, callback: Callable[[float], None]) -> object:
        """Call ``callback(now)`` once at ``when``, from the worker's one timer heap."""

    def route_untrusted(self, first: bytes) -> Receive | None:
        """For transports whose peers share a port: whose is a datagram from an unknown address?

        ``first`` must be a STUN binding request; the ICE user name in it names the peer. Gives the
        ``receive`` that ``TransportFactory.open`` was called with for that peer. None: nobody's."""


class GatewayServices(CommonServices, Protocol):
    """What the core does for plugins inside the gateway."""

    def snapshots(self) -> Sequence[Snapshot]:
        """The newest snapshot of each worker, at most ``[telemetry] snapshot_seconds`` old."""


class Outlet(Protocol):
    """An engine's side of one receiver: its SRTP keys and its way out."""

    def set_path(self, base: Base, address: Address) -> None:
        """From now on packets leave by this path."""

    def open_slot(self, ssrc: int) -> EngineSlot:
        """A send-only stream of this receiver; its SSRC never changes."""

    def send_rtcp(self, compound: bytes) -> None:
        """Protect one RTCP compound packet and send it."""

    def close(self) -> None:
        """Forget keys and path."""


class EngineSlot(Protocol):
    """The rewriting state of one slot. Offsets are added modulo 2^16 and 2^32."""

    def attach(self, sequence_offset: int, timestamp_offset: int) -> None:
        """Called when the slot gets another source (control time)."""


class Engine(Protocol):
    """The fan-out: for K receivers rewrite the header, protect, send (packet-path rule 9)."""

    def open_outlet(self, srtp: SrtpParameters) -> Outlet: ...

    def make_route(self, slots: Sequence[EngineSlot], csrc: int) -> object:
        """Whom a source goes to; built when that changes, then passed to ``fan_out`` as it is."""

    def fan_out(self, route: object, packet: bytes, sequence: int) -> None:
        """Send the plain RTP packet to each slot of the route: SSRC := the slot's, one CSRC := the
        route's, sequence := ``sequence`` + slot offset, timestamp := the packet's + slot offset;
        payload type, marker, extensions and payload byte for byte as they came."""

    def repeat(self, slot: EngineSlot, packet: bytes, csrc: int, sequence: int, timestamp: int) -> None:
        """Send one packet to one slot again with these outgoing numbers (answer to a NACK)."""
