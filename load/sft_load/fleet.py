"""Many load clients in one process: one epoll, one timer heap, media at a fixed pace."""

from __future__ import annotations

import json
import os
import select
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from sft.calls.timers import TimerHeap
from sft.webrtc.dtls import DtlsContext, generate_identity
from sft_load.batch import Batch
from sft_load.client import Client
from sft_load.errors import LoadError
from sft_load.flow import Flow
from sft_load.histogram import Histogram
from sft_load.http import Url
from sft_load.messages import NO_CREDENTIALS, Credentials, read_untrusted
from sft_load.streams import CheckedStream

PACE_SECONDS = 0.005
"""Media leaves in bursts this far apart, as WebRTC's pacer does."""

HANGUP_SECONDS = 3.0


class Fleet:
    """All clients of a process. They share one certificate: making keys is not what is measured.

    A client's socket is watched while it joins. With ``sweep_seconds`` those that are in a call are no more
    watched, but read in turn every so often: a few large batches instead of many small ones.
    """

    def __init__(
        self,
        url: Url,
        *,
        pace_seconds: float = PACE_SECONDS,
        sweep_seconds: float | None = None,
        credentials: Credentials = NO_CREDENTIALS,
        stays: bool = False,
    ) -> None:
        """``stays``: keep to ``url`` even if the server names another."""
        self.url = url
        self.credentials = credentials
        self.stays = stays
        self.clients: list[Client] = []
        self.context = DtlsContext(generate_identity(os.urandom))
        self.timers = TimerHeap()
        self.batch = Batch()
        self.latency = Histogram()
        """From the sending of a packet to its arrival at the socket of a client that is checked."""
        self.lateness = Histogram()
        """Of our own packets: how long after its time each left."""
        self.unsent = 0
        """Packets that our own sockets would not take."""
        self.kernel_drops = 0
        """Datagrams for clients that are gone that we did not read in time."""
        self._pace_seconds = pace_seconds
        self._sweep_seconds = sweep_seconds
        self._sweep_at = 0.0
        self._swept: dict[Client, None] = {}
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[float], None]] = {}
        self._flows: list[Flow] = []
        self._roster: tuple[str, tuple[list[dict[str, Any]], str]] = "", ([], "")

    def add(
        self,
        count: int,
        call: str = "",
        video_slots: int = 9,
        *,
        checked: bool = True,
        rids: Sequence[str] = (),
    ) -> list[Client]:
        """New clients of one call that have not asked to join yet."""
        call = call or uuid.uuid4().hex
        added = [Client(self, call, video_slots, checked=checked, rids=rids) for _ in range(count)]
        self.clients += added
        return added

    def gather(self, count: int, *, video_slots: int = 9, rids: Sequence[str] = ()) -> list[Client]:
        """A call of ``count`` in which everybody has approved everybody: see :meth:`connect`."""
        clients = self.add(count, video_slots=video_slots, rids=rids)
        self.connect(clients)
        return clients

    def connect(self, clients: list[Client]) -> None:
        """Let the participants of one call join, and approve each other. The first joins alone, because the
        roster's first is always heard (protocol section 6.4); then eight at a time."""
        count = len(clients)
        for batch in (clients[:1], *(clients[start : start + 8] for start in range(1, count, 8))):
            for client in batch:
                client.join(time.monotonic())
            self.run_until(partial(_all_open, batch), "join")
        self.run_until(lambda: all(len(client.known) == count - 1 for client in clients), "approve", 120)

    def start_media(self, flows: Iterable[tuple[Callable[[], None], float]]) -> None:
        """From now on, each is called so many times a second; they are spread evenly over the time
        between two of their packets."""
        self._flows = [Flow(self, send, rate) for send, rate in flows]
        now = time.monotonic()
        for index, flow in enumerate(self._flows):
            flow.start(now, index / len(self._flows))

    def stop_media(self) -> None:
        for flow in self._flows:
            flow.stop()
        self._flows = []

    def run_until(self, done: Callable[[], object], what: str, seconds: float = 30.0) -> None:
        """Serve at once whatever comes, until ``done()``. LoadError after ``seconds``."""
        end = time.monotonic() + seconds
        while not done():
            now = self.serve(0.02)
            failed = next((client.failed for client in self.clients if client.failed), None)
            if failed or now > end:
                raise LoadError(f"could not {what}: {failed or f'not within {seconds} s'}")

    def run_for(self, seconds: float) -> None:
        """Serve at the pace of media."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.turn()

    def turn(self) -> None:
        """One step of the pace."""
        time.sleep(self._pace_seconds)
        self.serve(0)

    def serve(self, timeout: float) -> float:
        """Do what is due and take what has come; returns the time."""
        deadline = self.timers.next_deadline
        if deadline is not None:
            timeout = min(timeout, max(0.0, deadline - time.monotonic()))
        ready = self._epoll.poll(timeout)
        now = time.monotonic()
        self.timers.run_due(now)
        for fd, _ in ready:
            callback = self._callbacks.get(fd)
            if callback is not None:
                callback(now)
        if self._swept and now >= self._sweep_at:
            self._sweep_at = now + (self._sweep_seconds or 0.0)
            for client in list(self._swept):
                client.read(now)
        return now

    def watch(self, fd: int, on_ready: Callable[[float], None], events: int = select.EPOLLIN) -> None:
        self._callbacks[fd] = on_ready
        self._epoll.register(fd, events)

    def unwatch(self, fd: int) -> None:
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def opened(self, client: Client, fd: int) -> None:
        """The client is in its call."""
        if self._sweep_seconds is not None:
            self.unwatch(fd)
            self._swept[client] = None

    def closing(self, client: Client, fd: int, drops: int) -> None:
        """The client's socket is about to be closed."""
        self.unwatch(fd)
        self._swept.pop(client, None)
        self.kernel_drops += drops

    def read_roster(self, text: str) -> tuple[list[dict[str, Any]], str]:
        """The participants of a CONFPART, and the text of an array that trusts them all. Everybody in a
        call gets the same list, so it is read once."""
        key, value = self._roster
        if key != text:
            participants = read_untrusted(text).get("participants", [])
            trusted = [{**entry, "authorized": True} for entry in participants]
            value = participants, json.dumps(trusted, separators=(",", ":"))
            self._roster = text, value
        return value

    def totals(self) -> dict[str, int]:
        """What all clients received, and what was not as it should be."""
        receptions = [client.received for client in self.clients]
        streams = [stream for reception in receptions for stream in reception.streams.values()]
        checked = [stream for stream in streams if isinstance(stream, CheckedStream)]
        return {
            "received": sum(reception.packets for reception in receptions),
            "lost": sum(stream.lost for stream in streams) + sum(stream.hidden for stream in checked),
            "wrong": sum(stream.wrong for stream in checked),
            "strangers": sum(reception.strangers for reception in receptions),
            "sent": sum(source.sent for client in self.clients for source in client.media.sources),
        }

    def hang_up(self) -> None:
        """Everybody in a call says HANGUP, so that the server is not left with participants that have
        vanished. Returns when it has answered, or after a while."""
        end = time.monotonic() + HANGUP_SECONDS
        leaving = [client for client in self.clients if client.open_at and not client.closed]
        for client in leaving:
            client.leave(time.monotonic())
        while any(not client.closed for client in leaving) and self.serve(0.02) < end:
            pass

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self._epoll.close()


def _all_open(clients: Sequence[Client]) -> bool:
    return all(client.open_at for client in clients)
