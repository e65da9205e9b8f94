"""A worker without a process: real calls, peers and packet path, on a clock and a network of the test's own.

A :class:`World` holds a :class:`sft.calls.calls.Calls` and the clients of :mod:`support.world_client`.
Datagrams arrive at once and in order unless a client loses them; time passes in :meth:`World.run` only,
from deadline to deadline. A join takes a few milliseconds of real time and none of the world's.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from sft.calls.call import Call
from sft.calls.calls import Calls
from sft.calls.context import Context, Settings
from sft.calls.timers import TimerHeap
from sft.errors import PortsExhausted
from sft.forwarding.engine import PythonEngine
from sft.model import (
    LEAVING,
    Address,
    Candidate,
    Drop,
    Drops,
    Ending,
    EnvelopeVerdict,
    IceServer,
    JoinRecord,
    ParticipantId,
    PathKind,
    RosterEntry,
)
from sft.webrtc.dtls import DtlsContext
from sft.webrtc.ice import LiteAgent
from sft.webrtc.peer import Peer
from support.webrtc_client import make_contexts

if TYPE_CHECKING:
    from sft.plugin.interfaces import Receive
    from support.world_client import ClientEnd, WorldClient

CALL = "c0ffee"
BEGIN = 1000.0
WALL = 1_700_000_000.0
"""Seconds since 1970 when the world's clock shows 0."""

SERVER_HOST = "192.0.2.1"


@cache
def contexts() -> tuple[DtlsContext, DtlsContext]:
    """(server's, client's). Certificates are shared by all worlds."""
    return make_contexts()


class MemoryTransport:
    """One port of the server. Is its own base: what it sends goes straight to the client."""

    def __init__(self, world: World, port: int, receive: Receive) -> None:
        self.candidates = (Candidate("1", "udp", 2130706431, SERVER_HOST, port),)
        self.port = port
        self.receive = receive
        self.closed = 0
        """How often it was closed."""
        self.fault: OSError | None = None
        """What sending ends in, from now on."""
        self._world = world

    @property
    def fd(self) -> int | None:
        return None

    def send(self, data: bytes, address: Address) -> None:
        if self.closed:
            raise OSError("the port is closed")
        if self.fault is not None:
            raise self.fault
        self._world.down.append((data, address))

    def deliver(self, data: bytes, address: Address) -> None:
        """A datagram comes in."""
        if not self.closed:
            self.receive(self, data, address, self._world.now)

    def close(self) -> None:
        self.closed += 1


class Recorder:
    """An :class:`sft.calls.context.Observer` that writes everything down."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        """(name, further arguments...) in order; participants by their user, rosters as lists of users."""
        self.logs: list[tuple[str, dict[str, object]]] = []
        self.envelopes: list[tuple[str, list[str], str]] = []
        self.paths: dict[str, PathKind] = {}
        """Of those who left, by user."""
        self.joins: list[JoinRecord] = []
        self.endings: list[tuple[str, str]] = []
        """(user, reason and detail) of those who left."""
        self.verdict: Callable[[str], EnvelopeVerdict] = lambda sender: EnvelopeVerdict.ALLOW
        self.order: Callable[[Sequence[RosterEntry]], Sequence[RosterEntry]] = lambda roster: roster

    def call_started(self, call: str) -> None:
        self.events.append(("started", call))

    def call_ended(self, call: str, reason: str) -> None:
        self.events.append(("ended", call, reason))

    def participant_joined(self, call: str, participant: ParticipantId) -> None:
        self.events.append(("joined", participant.user))

    def participant_left(
        self, call: str, participant: ParticipantId, reason: Ending, detail: str, path: PathKind
    ) -> None:
        assert reason in LEAVING
        self.paths[participant.user] = path
        self.endings.append((participant.user, f"{reason} {detail}".strip()))
        self.events.append(("left", participant.user, reason.value))

    def join_ended(self, join: JoinRecord) -> None:
        self.joins.append(join)

    def roster_changed(self, call: str, roster: Sequence[RosterEntry], reason: str) -> None:
        self.events.append(("roster", [entry.user for entry in roster], reason))

    def order_roster(self, call: str, roster: Sequence[RosterEntry]) -> Sequence[RosterEntry]:
        return self.order(roster)

    def key_envelope(
        self, call: str, sender: ParticipantId, recipients: Sequence[ParticipantId], envelope: str
    ) -> EnvelopeVerdict:
        self.envelopes.append((sender.user, [recipient.user for recipient in recipients], envelope))
        return self.verdict(sender.user)

    def log(self, event: str, **fields: object) -> None:
        self.logs.append((event, fields))

    def of(self, *names: str) -> list[tuple[Any, ...]]:
        return [event for event in self.events if event[0] in names]

    def left(self) -> dict[str, str]:
        """Why each participant left, by user."""
        return {user: reason for _, user, reason in self.of("left")}


class World:
    """Make it, ``join`` clients, ``run`` it."""

    def __init__(self, seed: int = 1, **settings: Any) -> None:
        """``settings``: fields of :class:`sft.calls.context.Settings` that differ from the defaults."""
        self.now = BEGIN
        self.random = random.Random(seed)
        self.timers = TimerHeap()
        self.drops = Drops()
        self.observer = Recorder()
        self.ports_left = 10_000
        """How many transports can still be opened at once."""
        self.transports: dict[int, MemoryTransport] = {}
        """Every one that was ever opened, by port."""
        self.context = Context(
            settings=Settings(url="https://sft.example/", **settings),
            timers=self.timers,
            observer=self.observer,
            engine=PythonEngine(self.drops),
            drops=self.drops,
            random=self.random.randbytes,
            wall=lambda now: WALL + now,
            make_peer=self._make_peer,
            open_transports=self._open_transports,
            routes={},
        )
        self.calls = Calls(self.context)
        self.client_timers = TimerHeap()
        self.clients: list[WorldClient] = []
        self.ends: dict[Address, ClientEnd] = {}
        """The clients' sides of connections, by the address packets to them go to."""
        self.down: deque[tuple[bytes, Address]] = deque()
        """Datagrams of the server that are under way."""

    def client(self, user: str, call: str = CALL, **options: Any) -> WorldClient:
        """Somebody who may join; see :class:`support.world_client.WorldClient` for the options."""
        from support.world_client import WorldClient

        return WorldClient(self, user, call, **options)

    def join(self, *users: str, call: str = CALL, **options: Any) -> list[WorldClient]:
        """Clients that have joined one after the other; all approve of all."""
        clients = [self.client(user, call, **options) for user in users]
        for client in clients:
            client.join()
        self.run(2 * self.context.settings.roster_seconds)
        return clients

    def call(self, id: str = CALL) -> Call:
        return self.calls.calls[id]

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        self.settle()
        while (when := self._next_deadline()) is not None and when <= end:
            self.now = max(self.now, when)
            self.client_timers.run_due(self.now)
            for side in list(self.ends.values()):
                side.handle_timeout(self.now)
            self.settle()
        self.now = end

    def settle(self) -> None:
        """Carry datagrams and fire what is due until everybody is silent; no time passes."""
        if not self.down:  # nothing is under way to those whose port is closed
            for address, side in list(self.ends.items()):
                if side.transport.closed:
                    del self.ends[address]
        for _ in range(10_000):
            busy = sum(side.carry_up() for side in list(self.ends.values())) > 0
            while self.down:
                busy = True
                data, address = self.down.popleft()
                receiver = self.ends.get(address)
                if receiver is not None:
                    receiver.carry_down(data)
            due = self.timers.next_deadline
            if due is not None and due <= self.now:
                busy = True
                self.timers.run_due(self.now)
            if not busy:
                return
        raise AssertionError("the world does not come to rest")

    @property
    def open_ports(self) -> int:
        return sum(not transport.closed for transport in self.transports.values())

    def dropped(self) -> dict[Drop, int]:
        """Drops by reason, those that happened."""
        return {reason: count for reason, count in self.drops.counts.items() if count}

    def end(self) -> None:
        """Everybody who is still there leaves."""
        for call in list(self.calls.calls.values()):
            for participant in list(call.participants.values()):
                call.leave(participant, Ending.SERVER_STOPPED, self.now)

    def assert_empty(self) -> None:
        """Nothing is left of any call: no timer, route or key, and each transport was closed once."""
        self.settle()
        assert not self.calls.calls
        assert not self.context.routes
        assert self.timers.next_deadline is None, "a timer outlives its call"
        assert {transport.closed for transport in self.transports.values()} <= {1}

    def _next_deadline(self) -> float | None:
        deadlines = [self.timers.next_deadline, self.client_timers.next_deadline]
        deadlines += [side.deadline for side in self.ends.values()]
        return min((when for when in deadlines if when is not None), default=None)

    def _make_peer(self, now: float) -> Peer:
        source = self.random.randbytes
        return Peer(context=contexts()[0], ice=LiteAgent(random=source), random=source, now=now)

    def _open_transports(
        self, receive: Receive, ice_servers: Sequence[IceServer]
    ) -> Sequence[MemoryTransport]:
        if self.open_ports >= self.ports_left:
            raise PortsExhausted("no port is free")
        port = 40000 + len(self.transports)
        self.transports[port] = MemoryTransport(self, port, receive)
        return [self.transports[port]]
