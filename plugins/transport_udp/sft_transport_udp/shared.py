"""One port for all participants of a worker.

Whose a datagram is, its source address says, once that participant has proven with an authenticated ICE
check that the address is its own. Until then only checks are let through, one by one, to the peer that
their user name claims. So a claim costs no memory, takes no address away from anybody, and a peer that
changes its address keeps its session.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter

from sft.model import Address, Candidate, Drop
from sft.plugin import Base, Finding, PortsExhausted, Receive, Services, TransportStats
from sft_transport_udp.base import MAX_ADDRESSES, UdpBase
from sft_transport_udp.config import UdpConfig
from sft_transport_udp.overflows import Overflows
from sft_transport_udp.ports import UdpPorts
from sft_transport_udp.segments import find_segments


class SharedUdpTransport:
    """A participant's part of a shared port. Implements :class:`sft.plugin.ActiveTransport`."""

    __slots__ = ("_on_close", "addresses", "candidates", "closed", "ends", "receive")

    def __init__(
        self,
        receive: Receive,
        candidates: Sequence[Candidate],
        ends: Sequence[tuple[UdpBase, Candidate]],
        on_close: Callable[[SharedUdpTransport], None],
    ) -> None:
        self.receive = receive
        self.candidates = candidates
        self.ends = ends
        self.closed = False
        self.addresses: dict[tuple[AddressTable, Address], None] = {}
        """What it has proven, the oldest first."""
        self._on_close = on_close

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        for table, address in list(self.addresses):
            table.forget(address)
        self._on_close(self)


class AddressTable:
    """Whose datagram is whose, on one socket."""

    def __init__(self, transports: dict[Receive, SharedUdpTransport], services: Services) -> None:
        self._transports = transports
        self._services = services
        self.owners: dict[Address, SharedUdpTransport] = {}

    def receive(self, base: Base, data: bytes, address: Address, now: float) -> None:
        """Hand a datagram to whose it is."""
        owner = self.owners.get(address)
        if owner is None or data[:1] < b"\4":  # STUN (RFC 7983) says itself whose it is
            self._receive_unproven(base, data, address, now, owner)
        else:
            owner.receive(base, data, address, now)

    def forget(self, address: Address) -> None:
        owner = self.owners.pop(address, None)
        if owner is not None:
            owner.addresses.pop((self, address), None)

    def _receive_unproven(
        self, base: Base, data: bytes, address: Address, now: float, owner: SharedUdpTransport | None
    ) -> None:
        """A check names its peer, also from an address that was somebody else's before."""
        claimed = self._services.route_untrusted(data) if data[:1] < b"\4" else None
        claimant = owner if claimed is None else self._transports.get(claimed)
        if claimant is None:
            self._services.drops.count(Drop.NO_PEER)
        elif claimant.receive(base, data, address, now) and claimant is not owner and not claimant.closed:
            self.forget(address)
            self.owners[address] = claimant
            claimant.addresses[self, address] = None
            if len(claimant.addresses) > MAX_ADDRESSES:
                table, oldest = next(iter(claimant.addresses))
                table.forget(oldest)


class SharedUdpFactory:
    """Implements :class:`sft.plugin.TransportFactory`. The port is bound for the first participant, and then
    kept, or another program could take it meanwhile."""

    name = "udp"

    def __init__(self, config: UdpConfig, services: Services) -> None:
        self._services = services
        self._ports = UdpPorts(config, services)
        self._segments = find_segments(config.segments, services)
        self._capacity = config.capacity if self._ports.pool.ports else 0
        self._transports: dict[Receive, SharedUdpTransport] = {}
        self._bases: list[UdpBase] = []
        self._overflows = Overflows()
        self._candidates: list[Candidate] = []
        self._ends: list[tuple[UdpBase, Candidate]] = []

    def open(self, receive: Receive) -> SharedUdpTransport:
        if len(self._transports) >= self._capacity:
            raise PortsExhausted(f"all of {self._capacity} places at the UDP port are taken")
        if not self._bases:
            self._bind(receive)
        transport = SharedUdpTransport(receive, self._candidates, self._ends, self._on_close)
        self._transports[receive] = transport
        return transport

    def stats(self) -> TransportStats:
        drops = sum(base.kernel_drops() for base in self._bases)
        return TransportStats(
            ports_total=self._capacity,
            ports_free=self._capacity - len(self._transports),
            kernel_drops=drops,
            buffer_drops=self._overflows.among(drops),
        )

    def check(self) -> list[Finding]:
        return list(self._ports.findings())

    def close(self) -> None:
        for transport in list(self._transports.values()):
            transport.close()
        self._unbind()

    def _bind(self, first: Receive) -> None:
        port, sockets = self._ports.take()
        self._candidates = self._ports.candidates(port)
        for bound in sockets:
            table = AddressTable(self._transports, self._services)
            base = UdpBase(bound, table.receive, self._services.drops, table.owners, segments=self._segments)
            self._bases.append(base)
        self._ends = self._ports.ends(self._bases, self._candidates)
        try:
            for base in self._bases:
                base.watch(self._services, first, attrgetter("receive"))
        except BaseException:
            self._unbind()
            self._ports.pool.give_back(port)
            raise

    def _unbind(self) -> None:
        for base in self._bases:
            base.close()
        self._bases, self._ends = [], []

    def _on_close(self, transport: SharedUdpTransport) -> None:
        del self._transports[transport.receive]
