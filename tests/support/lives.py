"""Every way of a participant from its join to its end, for tests that send thousands through a server.

::

    town = Town(worker.handle, seed=1)
    await town.live_through(1000, at_once=60)

A life notes by which reasons its connections must have ended. One that finds no port begins anew later.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeAlias

import trio

from sft.model import ParticipantId
from sft.webrtc.dtls import DtlsContext, generate_identity
from support.light_client import Handle, JoinRefused, LightClient, stranger
from support.wire import new_id

JUNK = b"\x16\xfe\xfd" + bytes(8) + b"\x00\x04junk"
"""The head of a DTLS handshake, and no handshake."""

APPLICATION_DATA = 23
CALLS = 20
"""That lives are spread over; each call ends and begins again many times."""


class Town:
    """Those who come and go, all on one server."""

    def __init__(self, handle: Handle, seed: int = 1, pause: float = 1.0, keep_alive: float = 5.0) -> None:
        """``pause``: seconds until one that was refused tries again; ``keep_alive``: between the checks of
        one that sends nothing else."""
        self.handle = handle
        self.refused = 0
        self.lived: Counter[str] = Counter()
        self.ends: dict[ParticipantId, list[str]] = {}
        """How the connections of each participant must have ended, in no order."""
        self.keep_alive = keep_alive
        self._pause = pause
        self._random = random.Random(seed)
        self._context = DtlsContext(generate_identity(os.urandom))
        self._calls = [new_id() for _ in range(CALLS)]

    async def live_through(self, count: int, at_once: int, lives: tuple[Life, ...]) -> None:
        """``count`` lives of all kinds alike, shuffled, ``at_once`` at any time."""
        order = list(itertools.islice(itertools.cycle(lives), count))
        self._random.shuffle(order)
        waiting = iter(order)
        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(self._live_some, waiting)

    @asynccontextmanager
    async def newcomer(self) -> AsyncIterator[LightClient]:
        async with stranger(self.handle, self._random.choice(self._calls), self._context) as client:
            yield client

    @asynccontextmanager
    async def again(self, client: LightClient) -> AsyncIterator[LightClient]:
        """The same participant, for another connection."""
        async with stranger(self.handle, client.call, self._context, client.id) as another:
            yield another

    def ended(self, client: LightClient, *reasons: str) -> None:
        self.ends[client.id] = sorted(reasons)

    async def _live_some(self, waiting: Iterator[Life]) -> None:
        for life in waiting:
            while True:
                try:
                    await life(self)
                    break
                except* JoinRefused:
                    self.refused += 1
                await trio.sleep(self._pause)
            self.lived[life.__name__] += 1


Life: TypeAlias = Callable[[Town], Awaitable[None]]


async def arrive(client: LightClient) -> None:
    """Join, until the server says who is there: before that it does not know that the channel is open."""
    await client.join()
    await client.until(lambda: bool(client.roster))


# In the call, and out of it.


async def hang_up(town: Town) -> None:
    async with town.newcomer() as ann:
        await arrive(ann)
        await ann.leave()
    town.ended(ann, "hangup")


async def say_goodbye(town: Town) -> None:
    async with town.newcomer() as ann:
        await arrive(ann)
        await ann.close()
    town.ended(ann, "SCTP association ended by the peer")


async def be_killed(town: Town) -> None:
    """The process is gone, and its socket with it."""
    async with town.newcomer() as ann:
        await arrive(ann)
    town.ended(ann, "silence")


async def stop_pinging(town: Town) -> None:
    """Until the server hangs up."""
    async with town.newcomer() as ann:
        await arrive(ann)
        while not ann.gone:
            await ann.check()
            await trio.sleep(town.keep_alive)
        assert ann.of_type("HANGUP")
    town.ended(ann, "no_ping")


# Never in the call.


async def never_answer(town: Town) -> None:
    async with town.newcomer() as ann:
        await ann.ask()
    town.ended(ann, "offered_timeout")


async def answer_nonsense(town: Town) -> None:
    async with town.newcomer() as ann:
        await ann.ask()
        assert not await ann.say_answer("v=0\r\n")
    town.ended(ann, "offered_timeout")


async def never_check(town: Town) -> None:
    async with town.newcomer() as ann:
        await ann.ask()
        await ann.answer()
    town.ended(ann, "answered_timeout")


async def never_start_dtls(town: Town) -> None:
    async with town.newcomer() as ann:
        await ann.ask()
        await ann.answer()
        await ann.check()
    town.ended(ann, "answered_timeout")


async def break_the_handshake(town: Town) -> None:
    async with town.newcomer() as ann:
        await ann.ask()
        await ann.answer()
        await ann.check()
        await ann.until(lambda: ann.checked)
        for _ in range(8):
            await ann.send(JUNK)
    town.ended(ann, "DTLS handshake failed")


async def show_another_certificate(town: Town) -> None:
    async with town.newcomer() as ann:
        ann.fingerprint = ":".join(["00"] * 32)
        await ann.ask()
        await ann.answer()
        await ann.check()
        await ann.start_dtls()
        await ann.until(lambda: ann.has_keys or ann.gone)
    town.ended(ann, "the certificate does not match the fingerprint")


async def never_open_the_channel(town: Town) -> None:
    async with town.newcomer() as ann:
        ann.lose = lambda data: data[0] == APPLICATION_DATA
        await ann.ask()
        await ann.answer()
        await ann.check()
        await ann.start_dtls()
        await ann.until(lambda: ann.has_keys)
    town.ended(ann, "connected_timeout")


# Twice in the call.


async def reconnect(town: Town) -> None:
    async with town.newcomer() as ann:
        await arrive(ann)
        async with town.again(ann) as again:
            try:
                await arrive(again)
            except JoinRefused:
                town.refused += 1
                await ann.leave()
                town.ended(ann, "hangup")
                return
            await again.leave()
    town.ended(ann, "replaced", "hangup")


async def ask_twice_for_another_connection(town: Town) -> None:
    """And leave while the second offer is open."""
    async with town.newcomer() as ann, town.again(ann) as one, town.again(ann) as two:
        await arrive(ann)
        reasons = ["hangup"]
        try:
            await one.ask()
            reasons.append("hangup")
            await two.ask()
            reasons.append("superseded")
        except JoinRefused:
            town.refused += 1
        await ann.leave()
    town.ended(ann, *reasons)


async def never_answer_the_second_offer(town: Town) -> None:
    """And be killed before it expires."""
    async with town.newcomer() as ann, town.again(ann) as again:
        await arrive(ann)
        reasons = ["silence"]
        try:
            await again.ask()
            reasons.append("offered_timeout")
        except JoinRefused:
            town.refused += 1
    town.ended(ann, *reasons)


LIVES: tuple[Life, ...] = (
    hang_up,
    say_goodbye,
    be_killed,
    stop_pinging,
    never_answer,
    answer_nonsense,
    never_check,
    never_start_dtls,
    break_the_handshake,
    show_another_certificate,
    never_open_the_channel,
    reconnect,
    ask_twice_for_another_connection,
    never_answer_the_second_offer,
)
