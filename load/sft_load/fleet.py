"""Many load clients in one process: one epoll, one sweep of deadlines, media at a fixed pace."""

from __future__ import annotations

import json
import os
import select
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sft.webrtc.dtls import DtlsContext, generate_identity
from sft_load.client import Client

SWEEP_SECONDS = 0.05
PACE_SECONDS = 0.005
"""Media leaves in bursts this far apart, as WebRTC's pacer does."""


class LoadError(Exception):
    """The load did not come about, so there is nothing to measure."""


class Flow:
    """One client's audio or video: ``send`` is called ``rate`` times a second."""

    def __init__(self, send: Callable[[], None], rate: float) -> None:
        self.send = send
        self.rate = rate
        self.sent = 0


class Fleet:
    """All clients of a process. They share one certificate: making keys is not what is measured."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.server = server
        self.clients: list[Client] = []
        self.context = DtlsContext(generate_identity(os.urandom))
        self.started = time.process_time()
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[float], None]] = {}
        self._sweep_at = 0.0
        self._flows: list[Flow] = []
        self._flows_since = 0.0
        self._roster: tuple[str, tuple[list[dict[str, Any]], str]] = "", ([], "")

    def add(self, count: int, call: str = "", video_slots: int = 9) -> list[Client]:
        """New clients of one call that have not asked to join yet."""
        call = call or uuid.uuid4().hex
        added = [Client(self, call, video_slots) for _ in range(count)]
        self.clients += added
        return added

    def gather(self, count: int, *, video_slots: int = 9) -> list[Client]:
        """A call of ``count`` in which everybody has approved everybody. Joins eight at a time."""
        clients = self.add(count, video_slots=video_slots)
        for start in range(0, count, 8):
            batch = clients[start : start + 8]
            for client in batch:
                client.join(time.monotonic())
            self.run_until(partial(_all_open, batch), "join")
        self.run_until(lambda: all(len(client.known) == count - 1 for client in clients), "approve", 120)
        return clients

    def start_media(self, flows: list[Flow]) -> None:
        """From now on. Flows are spread evenly over the time between two of their packets."""
        self._flows = flows
        self._flows_since = time.monotonic()

    def stop_media(self) -> None:
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
            time.sleep(PACE_SECONDS)
            self._send_due(time.monotonic())
            self.serve(0)

    def serve(self, timeout: float) -> float:
        """One round; returns the time."""
        ready = self._epoll.poll(timeout)
        now = time.monotonic()
        for fd, _ in ready:
            callback = self._callbacks.get(fd)
            if callback is not None:
                callback(now)
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            for client in self.clients:
                client.tick(now)
        return now

    def watch(self, fd: int, on_readable: Callable[[float], None]) -> None:
        self._callbacks[fd] = on_readable
        self._epoll.register(fd, select.EPOLLIN)

    def unwatch(self, fd: int) -> None:
        if self._callbacks.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def read_roster(self, text: str) -> tuple[list[dict[str, Any]], str]:
        """The participants of a CONFPART, and the text of an array that trusts them all. Everybody in a
        call gets the same list, so it is read once."""
        key, value = self._roster
        if key != text:
            participants = json.loads(text)["participants"]
            trusted = [{**entry, "authorized": True} for entry in participants]
            value = participants, json.dumps(trusted, separators=(",", ":"))[1:]
            self._roster = text, value
        return value

    def totals(self) -> dict[str, int]:
        """What all clients received, and what was not as it should be."""
        streams = [stream for client in self.clients for stream in client.streams.values()]
        return {
            "received": sum(client.packets for client in self.clients),
            "lost": sum(stream.lost for stream in streams),
            "wrong": sum(stream.wrong for stream in streams),
            "strangers": sum(client.strangers for client in self.clients),
            "sent": sum(
                source.sent
                for client in self.clients
                for source in (client.audio, client.video)
                if source is not None
            ),
        }

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self._epoll.close()

    def _send_due(self, now: float) -> None:
        count = len(self._flows)
        for index, flow in enumerate(self._flows):
            due = int((now - self._flows_since) * flow.rate + index / count)
            while flow.sent < due:
                flow.send()
                flow.sent += 1


def _all_open(clients: Sequence[Client]) -> bool:
    return all(client.open_at for client in clients)
