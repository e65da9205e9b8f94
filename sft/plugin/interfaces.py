"""What a transport or an engine plugin implements, and what the core hands to it.

All of it is called at control time except :meth:`Base.send` and :meth:`Engine.fan_out`, which are
called for every packet, and the callbacks of :meth:`Services.watch`, which are called once per wake-up
of the worker. None of these may block or await.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, runtime_checkable

import attrs

from sft.model import Address, Candidate, Drops, SrtpParameters

if TYPE_CHECKING:
    from sft.forwarding.endpoint import Endpoint
    from sft.plugin.values import InstanceSnapshot, Snapshot


class Base(Protocol):
    """One local end of a transport: a bound UDP port, or one accepted TCP connection.

    A peer's path is a base and a remote address (RFC 8445: the base of a candidate). Peers that share a
    port may share its base.
    """

    @property
    def fd(self) -> int | None:
        """The UDP socket's descriptor, for engines that send by themselves; None: use ``send``."""

    @property
    def send(self) -> Callable[[bytes, Address], object]:
        """Send one datagram now. Never blocks. ``OSError`` (also ``BlockingIOError``): it was
        dropped, the caller counts it. A bound ``socket.sendto`` of a non-blocking socket fits. A stream
        may queue what does not fit, within bounds, and counts itself what it drops of the queue."""


class SegmentsBase(Base, Protocol):
    """A base whose descriptor may be given several datagrams at once."""

    @property
    def segments(self) -> bool:
        """Engines that send by ``fd`` may send datagrams of one size to one address by one system call
        (``UDP_SEGMENT``, Linux 4.18). Bases that do not say so cannot."""


class Receive(Protocol):
    """The core's end of a transport: takes one datagram. Never raises.

    True: the datagram is the peer's own word, an authenticated ICE check, so what else comes from this
    address on this base is the peer's too. Nothing else proves that: a user name is no secret. One
    ``Receive`` belongs to one transport and can be a key of a dictionary.
    """

    def __call__(self, base: Base, data: bytes, address: Address, now: float) -> bool | None: ...


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
    """Participants it has room for in all; 0: it can take nobody, of which operators are warned."""
    ports_free: int
    """Participants it could still take."""
    kernel_drops: int = 0
    """Datagrams the kernel dropped at its sockets (SO_MEMINFO): a receive buffer was full, or a filter told
    it to."""
    buffer_drops: int = 0
    """Of these, the ones that found a receive buffer full. The kernel tells it of all sockets of the network
    namespace only: where other processes lose datagrams in the same second, so many at most."""
    connections: int = 0
    """Open connections, where there are such."""
    queue_drops: int = 0
    """Datagrams dropped from the queues of readers that are too slow."""


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
        Another ``TransportError`` or an ``OSError``: the join goes on without it, or is refused if there is
        no other transport; logged. Anything else is a fault of the plugin and has the same effect. What was
        taken until then, such as a port, it has given back."""

    def stats(self) -> TransportStats: ...

    def check(self) -> Sequence[Finding]:
        """Things an operator wants to know before the start: descriptors, ranges, granted buffers."""

    def close(self) -> None: ...


class ReadableBase(Base, Protocol):
    """A base whose datagram socket a :class:`ReadingEngine` may read. Its transport asks the ``reader`` of
    the ``Receive`` that it was given, if that has one, and watches the socket with what it answers."""

    @property
    def proven(self) -> dict[Address, Any]:
        """By the addresses known to be a peer's; always the same dictionary."""

    @property
    def closed(self) -> bool: ...

    def take(self, data: bytes, address: Address, now: float) -> None:
        """What the transport does with a datagram it has read."""


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

    def warn(self, event: str, **fields: object) -> None:
        """The same, for what an operator should do something about."""


class Services(CommonServices, Protocol):
    """What the core does for plugins inside a worker. ``workers`` of them share this machine's port
    range: take slice ``worker`` of ``workers``."""

    @property
    def worker(self) -> int:
        """Index of this worker, from 0."""

    @property
    def drops(self) -> Drops: ...

    def watch(
        self,
        fd: int,
        on_readable: Callable[[float], None],
        on_writable: Callable[[float], None] | None = None,
    ) -> None:
        """Have ``on_readable(now)`` called whenever ``fd`` is readable or has failed (level-triggered,
        on the worker's one epoll). Read a bounded number of datagrams per call. ``on_writable(now)`` is
        called while ``fd`` is writable and :meth:`want_write` asks for it."""

    def want_write(self, fd: int, wanted: bool) -> None:
        """Whether ``on_writable`` of a watched ``fd`` shall be called; at first it is not."""

    def unwatch(self, fd: int) -> None:
        """Undo ``watch``. Call it before the descriptor is closed."""

    def call_at(self, when: float, callback: Callable[[float], None]) -> object:
        """Call ``callback(now)`` once at ``when``, from the worker's one timer heap. What cannot be
        cancelled here has to look whether it is still wanted."""

    def route_untrusted(self, first: bytes) -> Receive | None:
        """For transports whose peers share a port: whose is a datagram from an unknown address?

        ``first`` must be a STUN binding request; the ICE user name in it names the peer. Gives the
        ``receive`` that ``TransportFactory.open`` was called with for that peer. None: nobody's. Anybody
        can name anybody: remember the address only if ``receive`` says that the datagram was the peer's."""


class GatewayServices(CommonServices, Protocol):
    """What the core does for plugins inside the gateway."""

    def snapshots(self) -> Sequence[Snapshot]:
        """The newest snapshot of each worker, at most ``[telemetry] snapshot_seconds`` old."""

    def instance(self) -> InstanceSnapshot:
        """The gateway's own counters, read now."""


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


OnReadable: TypeAlias = Callable[[float], None]
"""Called with the time, once per wake-up."""

Wait: TypeAlias = Callable[[float], bool]
"""Waits for so many seconds at most, or until there may be something to do. True: trio's loop has it."""


class MakeWaiter(Protocol):
    """Makes what waits while trio has nothing to do: for the worker's ``epoll``, and for the descriptor that
    trio's ``loop`` waits for. ``watched``: what is called of the epoll's descriptors, as it is at any time.
    It may call those that are the engine's own readers and go on waiting, but comes back when others are
    ready and when anything else of Python was called. ``on_error`` is told what readers let out."""

    def __call__(
        self,
        epoll: int,
        loop: int,
        watched: dict[int, OnReadable],
        clock: Callable[[], float],
        on_error: Callable[[BaseException], None],
    ) -> Wait: ...


@runtime_checkable
class ReadingEngine(Engine, Protocol):
    """An engine that also takes the way in, as far as it wants to; the rest, and the rule for all of it, is
    ``sft.forwarding.loop``. It knows the insides of ``sft.forwarding``, so it fits one version of it."""

    def receiver(self, endpoint: Endpoint) -> Receive:
        """In place of ``loop.receive`` for this endpoint. If it has a method ``reader(base, whose)``, which
        gives an ``on_readable`` for :meth:`Services.watch`, transports have it read their sockets
        (:class:`ReadableBase`). ``whose``: None, or of a shared port whose an address is, as
        ``whose(base.proven[address])``; that value changes when the peer does."""

    @property
    def waiter(self) -> MakeWaiter: ...
