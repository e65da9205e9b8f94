"""What one STUN or TURN server gives one peer: relayed and server-reflexive candidates, and their bases."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Callable, Sequence
from typing import Final, Literal

import trio

from sft.calls.timers import TimerHeap
from sft.errors import BadPacket
from sft.model import Address, Candidate, Drops
from sft.plugin.interfaces import Base, Receive
from sft.server.relay_links import Link, UdpLink
from sft.webrtc.stun_client import StunClient
from sft.webrtc.turn import TurnClient, TurnFailure

_REFLEXIVE_PREFERENCE: Final = 100  # RFC 8445 section 5.1.2.2
_RELAY_PREFERENCE: Final = 0


class RelayBase:
    """The relayed address: what is sent goes through the server."""

    fd = None

    def __init__(self, transport: RelayTransport) -> None:
        self.send: Callable[[bytes, Address], object] = transport.send_relayed


class DirectBase:
    """The address of our socket, as the server and whoever we send to sees it."""

    fd = None

    def __init__(self, link: UdpLink) -> None:
        self.send: Callable[[bytes, Address], object] = link.send_to


class RelayTransport:
    """Implements :class:`sft.plugin.ActiveTransport`, as soon as :meth:`gathered` has returned."""

    def __init__(
        self, link: Link, client: TurnClient | StunClient, timers: TimerHeap, drops: Drops, rank: int
    ) -> None:
        """``rank``: 0 for the server that is to be preferred."""
        self.candidates: list[Candidate] = []
        self.ends: list[tuple[Base, Candidate]] = []
        self.on_close: Callable[[], None] = lambda: None
        self._link = link
        self._client = client
        self._drops = drops
        self._rank = rank
        self._receive: Receive | None = None
        self._timer = timers.timer(self._timeout)
        self._gathered = trio.Event()
        self._closed = False
        self._relay = RelayBase(self)
        self._direct = DirectBase(link) if isinstance(link, UdpLink) else None
        link.on_data = self._from_server
        link.on_closed = self._link_closed
        if isinstance(link, UdpLink):
            link.on_other = self._from_other

    @property
    def failed(self) -> TurnFailure | None:
        return self._client.failed

    async def gathered(self) -> None:
        """Ask the server; returns when it has answered, one way or the other."""
        now = trio.current_time()
        self._client.start(now)
        self._service(now)
        await self._gathered.wait()

    def permit(self, host: str) -> None:
        """Let a host speak first that no candidate names."""
        now = trio.current_time()
        self._client.permit(host, now)
        self._service(now)

    def claim(self, receive: Receive, *, only_relayed: bool) -> None:
        """From now on it is some peer's."""
        self._receive = receive
        if only_relayed:
            self._direct = None
            self.ends = [(base, one) for base, one in self.ends if one.kind == "relay"]
            self.candidates = [one for one in self.candidates if one.kind == "relay"]

    def send_relayed(self, data: bytes, address: Address) -> None:
        """``OSError``: it was dropped."""
        if self._link.is_full:
            raise BlockingIOError(errno.EAGAIN, "the relay's connection is full")
        framed = self._client.wrap(data, address)
        if framed is not None:
            self._link.send(framed)
            return
        if self._closed or self._client.failed is not None:
            raise OSError(errno.ENETUNREACH, "the relay is gone")
        now = trio.current_time()
        self._client.send(data, address, now)
        self._service(now)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._timer.cancel()
        self._client.close(trio.current_time())
        self._flush()
        self._link.close()
        self._gathered.set()
        self.on_close()

    def _from_server(self, data: bytes, now: float) -> None:
        try:
            self._client.receive_untrusted(data, now)
        except BadPacket as bad:
            self._drops.count(bad.reason)
        self._service(now)

    def _from_other(self, data: bytes, address: Address, now: float) -> None:
        if self._receive is not None and self._direct is not None:
            self._receive(self._direct, data, address, now)

    def _link_closed(self, now: float) -> None:
        if self._client.failed is None:
            self._client.failed = TurnFailure("the connection was closed")
        self._client.close(now)
        self._service(now)

    def _timeout(self, now: float) -> None:
        self._client.handle_timeout(now)
        self._service(now)

    def _service(self, now: float) -> None:
        """Drain the client."""
        self._flush()
        for data, address in self._client.received():
            if self._receive is not None:
                self._receive(self._relay, data, address, now)
        if self._closed:
            return
        if self._client.failed is not None and self._direct is None:
            self._link.close()  # nothing else goes over it, and the server must not go on talking
        self._timer.set(self._client.deadline)
        if not self._gathered.is_set() and (self._client.mapped or self._client.failed):
            self._name_candidates()
            self._gathered.set()

    def _flush(self) -> None:
        for data in self._client.datagrams():
            try:
                self._link.send(data)
            except OSError:  # requests are repeated
                continue

    def _name_candidates(self) -> None:
        mapped, relayed = self._client.mapped, self._client.relayed
        if self._client.failed is not None or mapped is None:
            return
        if self._direct is not None:
            self._add(self._direct, "srflx", mapped, None, _REFLEXIVE_PREFERENCE)
        if relayed is not None:
            self._add(self._relay, "relay", relayed, mapped, _RELAY_PREFERENCE)

    def _add(
        self,
        base: Base,
        kind: Literal["srflx", "relay"],
        address: tuple[str, int],
        related: tuple[str, int] | None,
        preference: int,
    ) -> None:
        host, port = address
        family = ":" in host
        related_host, related_port = related or ("::" if family else "0.0.0.0", 9)
        candidate = Candidate(
            foundation=str(zlib.crc32(f"{kind} udp {host} {self._rank}".encode())),
            protocol="udp",
            priority=preference << 24 | (65535 - self._rank) << 8 | 256 - 1,
            host=host,
            port=port,
            kind=kind,
            related_host=related_host,
            related_port=related_port,
        )
        self.candidates.append(candidate)
        self.ends.append((base, candidate))


def only_usable(transports: Sequence[RelayTransport]) -> list[RelayTransport]:
    """Those that got an address; the others are closed."""
    usable = [transport for transport in transports if transport.candidates]
    for transport in transports:
        if not transport.candidates:
            transport.close()
    return usable
