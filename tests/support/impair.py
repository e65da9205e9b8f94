"""``impair``: a bad link between two network namespaces, for a kernel without netem.

::

    python -m support.impair SEED NAMESPACE:DEVICE NAMESPACE:DEVICE

makes one tun device in each namespace and carries IP packets between them, each direction by its own
:class:`Conditions`. A line of JSON on standard input changes them while packets are under way,
``{"up": {"loss": 0.05}, "down": {...}}`` (up: from the first device to the second), and is answered by a
line with each direction's counts since the last. It ends with its standard input, and its devices with
it. :class:`support.bad_link.BadLink` is the handle that tests use.

Only the standard library, so that it starts fast.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import fcntl
import heapq
import itertools
import json
import os
import random
import select
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
MAX_PACKET = 65536
BATCH = 64
"""Packets read from one device before the other and the clock are looked at again."""


@dataclasses.dataclass(slots=True)
class Conditions:
    """What one direction does to packets."""

    loss: float = 0.0
    """Part of the packets that vanish, each by chance of its own."""
    delay: float = 0.0
    """Seconds."""
    jitter: float = 0.0
    """Seconds: each packet's delay is even between ``delay`` less and more this."""
    ordered: bool = True
    """A packet that jitter would let overtake waits; False: it overtakes."""
    rate: float = 0.0
    """Bits of IP packets per second; 0: no limit."""
    queue: float = 0.2
    """Seconds that a packet may wait for its turn at ``rate``; the one that would wait longer is dropped."""
    cut: bool = False
    """Nothing passes. What is under way still arrives."""


@dataclasses.dataclass(slots=True)
class Counts:
    """What one direction did."""

    taken: int = 0
    lost: int = 0
    cut: int = 0
    overflowed: int = 0
    given: int = 0
    octets: int = 0
    """Bytes given."""
    queued: float = 0.0
    """The longest that a packet waited for its turn at the rate, in seconds."""


class Lane:
    """One direction, without I/O: packets and times in, packets out."""

    def __init__(self, seed: str) -> None:
        self.conditions = Conditions()
        self.counts = Counts()
        self._random = random.Random(seed)
        self._under_way: list[tuple[float, int, bytes]] = []
        self._number = itertools.count()
        self._free_at = 0.0  # when the bottleneck has sent all it has taken
        self._last = 0.0  # when the newest packet arrives

    def take(self, packet: bytes, now: float) -> None:
        """A packet enters."""
        is_lost = self._random.random()  # drawn for every packet: cuts do not shift what is lost later
        spread = self._random.uniform(-1, 1)
        how, counts = self.conditions, self.counts
        counts.taken += 1
        if how.cut:
            counts.cut += 1
            return
        leaves = now
        if how.rate:
            leaves = max(now, self._free_at)
            if leaves - now > how.queue:
                counts.overflowed += 1
                return
            counts.queued = max(counts.queued, leaves - now)
            leaves += 8 * len(packet) / how.rate
            self._free_at = leaves
        if is_lost < how.loss:
            counts.lost += 1
            return
        arrives = leaves + max(0.0, how.delay + spread * how.jitter)
        if how.ordered:
            arrives = max(arrives, self._last)
        self._last = max(self._last, arrives)
        heapq.heappush(self._under_way, (arrives, next(self._number), packet))

    @property
    def deadline(self) -> float | None:
        return self._under_way[0][0] if self._under_way else None

    def arrived(self, now: float) -> Iterator[bytes]:
        """The packets whose time has come, in order."""
        while self._under_way and self._under_way[0][0] <= now:
            packet = heapq.heappop(self._under_way)[2]
            self.counts.given += 1
            self.counts.octets += len(packet)
            yield packet


class Router:
    """Carries packets between two tun devices until standard input ends."""

    def __init__(self, seed: str, near: int, far: int) -> None:
        self._lanes = {"up": Lane(f"{seed} up"), "down": Lane(f"{seed} down")}
        self._ways = ((near, far, self._lanes["up"]), (far, near, self._lanes["down"]))
        self._commands = b""
        self._ended = False

    def run(self) -> None:
        stdin = sys.stdin.fileno()
        watched = [stdin, *(device for device, _, _ in self._ways)]
        while not self._ended:
            # select waits by the microsecond, epoll by the millisecond.
            ready, _, _ = select.select(watched, (), (), self._patience())
            if stdin in ready:
                self._obey(stdin)
            for device, _, lane in self._ways:
                if device in ready:
                    _read(device, lane)
            for _, device, lane in self._ways:
                for packet in lane.arrived(time.monotonic()):
                    _write(device, packet)

    def _patience(self) -> float | None:
        deadlines = [lane.deadline for lane in self._lanes.values() if lane.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _obey(self, stdin: int) -> None:
        data = os.read(stdin, MAX_PACKET)
        self._ended = not data
        *lines, self._commands = (self._commands + data).split(b"\n")
        for line in lines:
            for name, changes in json.loads(line).items():
                lane = self._lanes[name]
                lane.conditions = dataclasses.replace(lane.conditions, **changes)
            counts = {name: dataclasses.asdict(lane.counts) for name, lane in self._lanes.items()}
            for lane in self._lanes.values():
                lane.counts = Counts()
            print(json.dumps(counts), flush=True)


def _read(device: int, lane: Lane) -> None:
    for _ in range(BATCH):
        try:
            packet = os.read(device, MAX_PACKET)
        except BlockingIOError:
            return
        lane.take(packet, time.monotonic())


def _write(device: int, packet: bytes) -> None:
    try:
        os.write(device, packet)
    except OSError:
        pass  # the device is down or full: lost, as anywhere


def open_tun(namespace: str, name: str) -> int:
    """A new tun device in a namespace of ``ip netns``, which this process is in afterwards."""
    handle = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)  # os.setns needs Python 3.12
        if libc.setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns to {namespace}")
    finally:
        os.close(handle)
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def main() -> None:
    seed, *ends = sys.argv[1:]
    near, far = (open_tun(*end.split(":")) for end in ends)
    # A link is not slowed down by the programs that use it.
    with contextlib.suppress(PermissionError):  # in some containers it is
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    print("{}", flush=True)  # the devices are there
    Router(seed, near, far).run()


if __name__ == "__main__":
    main()
