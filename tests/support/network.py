"""A network between sans-IO engines: hosts, NATs, delay and loss, on a clock of the test's own.

::

    net = Network(loss=0.2)
    left, right = net.host("192.0.2.1"), net.host("10.0.0.2", behind=net.nat("203.0.113.9"))

A host's port is a base (``send``); whoever owns it gets ``deliver(base, data, address, now)`` called.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

Address: TypeAlias = Any
Deliver: TypeAlias = Callable[[Any, bytes, Address, float], None]


class Engine(Protocol):
    """What the network drives."""

    @property
    def deadline(self) -> float | None: ...
    def handle_timeout(self, now: float) -> None: ...
    def datagrams(self) -> list[tuple[Any, bytes, Address]]: ...


class Port:
    """A bound UDP port of a host; a :class:`sft.plugin.interfaces.Base`."""

    fd = None

    def __init__(self, net: Network, host: str, port: int, nat: Nat | None, deliver: Deliver) -> None:
        self.net, self.host, self.port, self.nat, self.deliver = net, host, port, nat, deliver

    def send(self, data: bytes, address: Address) -> None:
        self.net.send(self, data, (address[0], address[1]))


class Nat:
    """Maps each port to an address of its own. ``filters``: lets in only who was sent to (by host)."""

    def __init__(self, public: str, *, filters: bool = True) -> None:
        self.public = public
        self.filters = filters
        self.ports: dict[tuple[str, int], int] = {}
        self.allowed: dict[int, set[str]] = {}
        self._next = itertools.count(50000)

    def out(self, source: tuple[str, int], to: tuple[str, int]) -> tuple[str, int]:
        if source not in self.ports:
            self.ports[source] = next(self._next)
        port = self.ports[source]
        self.allowed.setdefault(port, set()).add(to[0])
        return self.public, port

    def rebind(self) -> None:
        """Forget every mapping: the next packets come from other ports."""
        self.ports.clear()


class Network:
    """Carries datagrams after ``delay`` seconds; ``blocked(source, to)`` and ``loss`` drop them, of one kind
    (of STUN) between two addresses at most ``in_a_row`` one after the other."""

    def __init__(
        self, *, loss: float = 0.0, delay: float = 0.02, seed: int = 1, in_a_row: float = math.inf
    ) -> None:
        self.now = 1000.0
        self.loss = loss
        self.delay = delay
        self.in_a_row = in_a_row
        self.sent = 0
        self.blocked: Callable[[tuple[str, int], tuple[str, int]], bool] = lambda source, to: False
        self.engines: list[Engine] = []
        self._random = random.Random(seed)
        self._ports: dict[tuple[str, int], Port] = {}
        self._nats: dict[str, Nat] = {}
        self._under_way: list[tuple[float, int, tuple[str, int], tuple[str, int], bytes]] = []
        self._count = itertools.count()
        self._lost: Counter[tuple[tuple[str, int], tuple[str, int], bytes]] = Counter()

    def _loses(self, source: tuple[str, int], to: tuple[str, int], kind: bytes) -> bool:
        way = source, to, kind
        lost = self._random.random() < self.loss and self._lost[way] < self.in_a_row
        self._lost[way] = self._lost[way] + 1 if lost else 0
        return lost

    def nat(self, public: str, *, filters: bool = True) -> Nat:
        self._nats[public] = Nat(public, filters=filters)
        return self._nats[public]

    def port(self, host: str, port: int, deliver: Deliver, behind: Nat | None = None) -> Port:
        self._ports[host, port] = made = Port(self, host, port, behind, deliver)
        return made

    def send(self, port: Port, data: bytes, to: tuple[str, int]) -> None:
        self.sent += 1
        source = port.host, port.port
        private = to in self._ports and self._ports[to].nat is port.nat
        if port.nat is not None and not private:
            source = port.nat.out(source, to)
        if self._loses(source, to, data[:2]) or self.blocked(source, to):
            return
        heapq.heappush(self._under_way, (self.now + self.delay, next(self._count), source, to, data))

    def run(self, seconds: float, until: Callable[[], object] = lambda: False) -> None:
        """Let time pass, or stop as soon as ``until()``."""
        end = self.now + seconds
        for _ in range(200_000):
            self._flush()
            if until():
                return
            times = [engine.deadline for engine in self.engines]
            when = min([time for time in times if time is not None], default=math.inf)
            if self._under_way:
                when = min(when, self._under_way[0][0])
            if when > end:
                self.now = end
                return
            self.now = max(self.now, when)
            while self._under_way and self._under_way[0][0] <= self.now:
                _, _, source, to, data = heapq.heappop(self._under_way)
                self._arrive(source, to, data)
            for engine in self.engines:
                if engine.deadline is not None and engine.deadline <= self.now:
                    engine.handle_timeout(self.now)
        raise AssertionError("the network does not come to rest")

    def _flush(self) -> None:
        for engine in self.engines:
            for base, data, address in engine.datagrams():
                base.send(data, address)

    def _arrive(self, source: tuple[str, int], to: tuple[str, int], data: bytes) -> None:
        nat = self._nats.get(to[0])
        if nat is not None:
            inside = next((key for key, port in nat.ports.items() if port == to[1]), None)
            if inside is None or (nat.filters and source[0] not in nat.allowed[to[1]]):
                return
            to = inside
        elif (
            to in self._ports
            and (owner := self._ports[to].nat) is not None
            and self._sees(source) is not owner
        ):
            return  # a private address means nothing outside
        port = self._ports.get(to)
        if port is not None:
            address: Address = (*source, 0, 0) if ":" in source[0] else source
            port.deliver(port, data, address, self.now)

    def _sees(self, source: tuple[str, int]) -> Nat | None:
        port = self._ports.get(source)
        return port.nat if port is not None else None
