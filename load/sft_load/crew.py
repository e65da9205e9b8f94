"""One process's share of a load: its seats in all calls, and what they count."""

from __future__ import annotations

import time
from collections import deque
from random import Random

import attrs

from sft_load.client import Client
from sft_load.conversation import Conversation
from sft_load.figures import Figures, Sample
from sft_load.fleet import Fleet
from sft_load.http import read_url
from sft_load.messages import NO_CREDENTIALS, Credentials
from sft_load.plan import Plan
from sft_load.seat import Seat
from sft_load.streams import CheckedStream

PACE_SECONDS = 0.002
SWEEP_SECONDS = 0.02
CLOSE_SECONDS = 3.0


@attrs.frozen(kw_only=True)
class Settings:
    """What all processes of a load are told."""

    url: str
    plan: Plan
    calls: tuple[str, ...]
    """Ids; the seats of call i are numbered from i * per_call."""
    processes: int = 1
    insecure: bool = False
    stays: bool = False
    """Keep to ``url`` even if the server names another."""
    credentials: Credentials = NO_CREDENTIALS


class Crew:
    """Seat number n belongs to process n modulo the number of processes."""

    def __init__(self, settings: Settings, index: int) -> None:
        self.plan = settings.plan
        self.random = Random(index)
        self.past = Figures()
        """What is not counted by clients that live."""
        self.seats: dict[str, int] = {}
        """How many there are in each call, over all processes."""
        self.sending: set[str] = set()
        """Who of ours is in a call and sends."""
        url = read_url(settings.url, insecure=settings.insecure)
        self.fleet = Fleet(
            url,
            pace_seconds=PACE_SECONDS,
            sweep_seconds=SWEEP_SECONDS,
            credentials=settings.credentials,
            stays=settings.stays,
        )
        self._settings = settings
        self._index = index
        self._began = time.monotonic()
        self._seats: dict[int, Seat] = {}
        self._queue: deque[Seat] = deque()
        self._joiner = self.fleet.timers.timer(self._join_next)
        plan = settings.plan
        self._trusts_roster = settings.processes > 1 and not (plan.stay_seconds and plan.vanishing)
        self._conversations = [
            Conversation(number, plan.speakers, plan.spurt_seconds) for number in range(len(settings.calls))
        ]
        self._talker = self.fleet.timers.timer(self._talk)

    def resize(self, total: int) -> None:
        """So many seats in all, over all processes."""
        now = time.monotonic()
        for index, id in enumerate(self._settings.calls):
            self.seats[id] = max(0, min(self.plan.per_call, total - index * self.plan.per_call))
        for number in [number for number in self._seats if number >= total]:
            self._seats.pop(number).empty(now)
        for number in range(self._index, total, self._settings.processes):
            if number not in self._seats:
                call, seat = divmod(number, self.plan.per_call)
                checked = len(self._seats) % self.plan.checked_every == 0
                self._seats[number] = Seat(self, self._settings.calls[call], seat, checked=checked)
                self.queue(self._seats[number])
        self._talk(now)

    def queue(self, seat: Seat) -> None:
        """Somebody wants to sit there; joins have their rate."""
        self._queue.append(seat)
        if self._joiner.when is None:
            self._joiner.set(time.monotonic())

    def is_sending(self, user: str) -> bool:
        """Whether something must come from this participant, who is in the roster. A server keeps those who
        vanished there for a while, and only their own process knows them."""
        return user in self.sending or self._trusts_roster

    def turn(self) -> None:
        self.fleet.turn()

    def take_leave(self, client: Client) -> None:
        """The client is gone: keep what it has counted."""
        if client.failed is None:
            self.past.left += 1
        else:
            self.past.failures[client.failed] += 1
        _count(client, self.past)
        self.fleet.clients.remove(client)

    def sample(self) -> Sample:
        """Everything until now."""
        fleet = self.fleet
        figures = self.past + Figures(
            unsent=fleet.unsent,
            kernel_drops=fleet.kernel_drops + sum(client.drops() for client in fleet.clients),
            cpu=time.process_time(),
            latency=fleet.latency,
            lateness=fleet.lateness,
        )
        for client in fleet.clients:
            _count(client, figures)
        participants = sum(bool(client.open_at) for client in fleet.clients)
        return Sample(time.monotonic(), participants, figures)

    def close(self) -> None:
        """Everybody says HANGUP, so that the server is not left with participants that have vanished."""
        now = time.monotonic()
        for seat in self._seats.values():
            seat.empty(now, politely=True)
        while self.fleet.clients and time.monotonic() < now + CLOSE_SECONDS:
            self.turn()
        self.fleet.close()

    def _join_next(self, now: float) -> None:
        while self._queue:
            seat = self._queue.popleft()
            if seat.wanted:
                seat.sit(now)
                self._joiner.set(now + self._settings.processes / self.plan.joins_per_second)
                return

    def _talk(self, now: float) -> None:
        """Have the conversations go on."""
        change = float("inf")
        for index, (conversation, seats) in enumerate(
            zip(self._conversations, self.seats.values(), strict=True)
        ):
            if not seats:
                break
            first = index * self.plan.per_call
            speaking = conversation.advance(now - self._began, seats)
            change = min(change, self._began + conversation.next_change)
            for number in range(first, first + seats):
                if (seat := self._seats.get(number)) is not None:
                    seat.speak(number - first in speaking)
        self._talker.set(change if change < float("inf") else None)


def _count(client: Client, figures: Figures) -> None:
    """Add what the client has counted so far."""
    received = client.received
    figures.sent += sum([source.sent for source in client.media.sources])
    figures.received += received.packets
    figures.octets += received.octets
    figures.wrong += received.strangers + received.repeated
    for stream in received.streams.values():
        figures.lost += stream.lost
        figures.reordered += stream.reordered
        figures.wrong += stream.repeated
        if isinstance(stream, CheckedStream):
            figures.lost += stream.hidden
            figures.wrong += stream.wrong
    if client.checked:
        figures.checked += received.packets
