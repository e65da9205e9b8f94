"""A call held by a worker in another process, behind a gateway that only passes values."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import attrs
import pytest
import trio
import trio.testing

from sft.calls.requests import Accepted, Ask, Connect, Offered, dump_reply, dump_request
from sft.config import Config
from sft.errors import LocalError
from sft.model import JoinRecord, ParticipantId, WorkerLoad
from sft.plugin.manager import prepare
from sft.server.connections import Connections
from sft.server.gateway import Gateway
from sft.server.http import hypercorn_config, open_listener, public_app
from sft.server.listener import ListenerConfig
from sft.server.pipe import PipeWorker, serve_worker
from sft.server.supervisor import Supervisor
from sft.server.worker import Worker
from support.clients import ClientPool, meet, settle
from support.rtp import audio
from support.server import make_config, to_toml
from support.wire import new_id

T = TypeVar("T")


@attrs.frozen
class Instance:
    """A gateway in this process, its one worker in another."""

    url: str
    gateway: Gateway
    worker: PipeWorker
    process: trio.Process


@asynccontextmanager
async def open_instance(folder: Path) -> AsyncIterator[Instance]:
    file = folder / "sft.toml"
    file.write_text(to_toml(make_config()))
    config, manager = prepare(file)
    gateway = Gateway(config, manager)
    supervisor = Supervisor(config, gateway)
    stop = trio.Event()
    try:
        await supervisor.start()
        running = supervisor._running[0]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.run)
            app = public_app(config, gateway, [])
            served = Connections(app, listener(config), gateway.connection_failed)
            await nursery.start(served.serve, stop.wait)
            yield Instance(config.server.announced_url, gateway, running.handle, running.process)
            stop.set()
            nursery.cancel_scope.cancel()
    finally:
        await supervisor.stop()


def listener(config: Config) -> ListenerConfig:
    return hypercorn_config(open_listener(config.server.listen), config.limits.header_seconds)


async def off_loop(function: Callable[..., T], *arguments: object, **options: object) -> T:
    """Steer a client while this process goes on serving it."""
    return await trio.to_thread.run_sync(partial(function, *arguments, **options))


async def test_a_call_is_held_by_a_worker_behind_a_pipe(tmp_path: Path, clients: ClientPool) -> None:
    ended, began = trio.Event(), time.time()
    async with open_instance(tmp_path) as instance:
        instance.gateway.on_idle = ended.set
        joins: list[JoinRecord] = []
        instance.worker.on_join_ended = joins.append
        call = new_id()
        ann, bob = clients.make(), clients.make()
        for client in (ann, bob):
            await off_loop(client.join, instance.url, call)
        await off_loop(meet, ann, bob)
        packets = audio(ann.ssrcs["audio"], 50)
        await off_loop(ann.send, packets)
        await off_loop(settle, ann, bob)
        assert [packet.payload for packet in bob.packets] == [packet.payload for packet in packets]
        load = await instance.worker.handle(Ask())
        assert isinstance(load, WorkerLoad)
        assert (load.calls, load.participants) == (1, 2)
        for client in (ann, bob):
            await off_loop(client.hangup)
        with trio.fail_after(10):
            await ended.wait()  # the worker said, unasked, that the call is over
    assert instance.process.returncode == 0
    assert sorted(join.participant.user for join in joins) == sorted([ann.user, bob.user])
    for join in joins:
        assert (join.call, join.outcome, join.path.transport) == (call, "established", "udp")
        assert [phase.phase for phase in join.phases][:5] == ["offer", "http", "ice", "dtls", "channel"]
        assert began < join.began < join.phases[0].ended < join.ended < time.time()


async def test_requests_in_flight_are_answered_each_by_its_own_reply(tmp_path: Path) -> None:
    async with open_instance(tmp_path) as instance:
        offers: dict[int, str] = {}

        async def connect(number: int) -> None:
            participant = ParticipantId(new_id(), "_")
            request = Connect("call", participant, "192.0.2.1", video_slots=number)
            reply = await instance.worker.handle(request)
            assert isinstance(reply, Offered)
            offers[number] = reply.sdp

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(connect, number)
        for number, offer in offers.items():
            assert offer.count("m=video") == number + 1


async def test_a_request_that_a_worker_cannot_take_costs_nothing_else(tmp_path: Path) -> None:
    async with open_instance(tmp_path) as instance:
        with pytest.raises(LocalError, match="the worker failed"):
            await instance.worker._ask({"no": "request"})
        assert isinstance(await instance.worker.handle(Ask()), WorkerLoad)
        assert (await instance.worker.snapshot()).internal_errors == 1


async def test_a_worker_that_died_is_noticed_by_who_asks_it_and_by_who_waits(tmp_path: Path) -> None:
    async with open_instance(tmp_path) as instance, trio.open_nursery() as nursery:
        await instance.worker.handle(Ask())
        instance.process.send_signal(signal.SIGSTOP)

        async def wait_in_vain() -> None:
            with pytest.raises(LocalError):
                await instance.worker.handle(Ask())

        nursery.start_soon(wait_in_vain)
        await trio.testing.wait_all_tasks_blocked()
        instance.process.kill()
        await instance.process.wait()
        await wait_in_vain()


class Hanging(PipeWorker):
    """A worker that reads no more of ``requests`` than a test takes, and says what the test does. It is
    killed after ten seconds."""

    def __init__(self) -> None:
        ours, self.requests = trio.testing.lockstep_stream_one_way_pair()
        self.replies, replies = trio.testing.memory_stream_one_way_pair()
        super().__init__(0, ours, replies)

    async def take(self, count: int) -> bytes:
        """The next bytes of requests."""
        taken = b""
        while len(taken) < count:
            taken += await self.requests.receive_some(count - len(taken))
        return taken


@pytest.fixture
async def hanging(nursery: trio.Nursery) -> Hanging:
    worker = Hanging()

    async def kill_later() -> None:
        await trio.sleep(10)
        await worker.replies.aclose()
        await worker.requests.aclose()

    nursery.start_soon(kill_later)
    return worker


async def test_nobody_waits_longer_than_they_want_for_a_worker_that_reads_nothing(
    hanging: Hanging, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    await nursery.start(hanging.run)
    for _ in range(2):  # the first is stuck in the pipe itself, the second behind it
        began = trio.current_time()
        with trio.move_on_after(1) as scope:
            await hanging.handle(Ask())
        assert scope.cancelled_caught
        assert trio.current_time() == began + 1


async def test_who_gives_up_leaves_no_half_request_and_nothing_to_answer(
    hanging: Hanging, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    first, third = (b"[%d, %s]\n" % (number, dump_request(Ask())) for number in (1, 3))

    async def ask() -> None:
        assert await hanging.handle(Ask()) == Accepted()

    await nursery.start(hanging.run)
    nursery.start_soon(hanging.take, 5)
    for _ in range(2):
        with trio.move_on_after(1):
            await ask()
    async with trio.open_nursery() as asking:
        asking.start_soon(ask)
        assert await hanging.take(len(first) - 5) == first[5:]
        assert await hanging.take(len(third)) == third
        await hanging.replies.send_all(b"[3, %s]\n" % dump_reply(Accepted()))


async def test_a_worker_that_goes_away_with_its_pipe_full_is_noticed_by_all_who_wait(
    hanging: Hanging, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    began, noticed = trio.current_time(), []

    async def wait_in_vain() -> None:
        with pytest.raises(LocalError, match="went away"):
            await hanging.handle(Ask())
        noticed.append(trio.current_time())

    for _ in range(3):
        nursery.start_soon(wait_in_vain)
    await trio.testing.wait_all_tasks_blocked()  # before it is run they wait as well
    await nursery.start(hanging.run)
    await trio.testing.wait_all_tasks_blocked()
    await hanging.replies.aclose()
    await trio.testing.wait_all_tasks_blocked()
    await wait_in_vain()
    assert noticed == [began] * 4


async def test_a_worker_ends_by_itself_when_nobody_takes_its_answers(tmp_path: Path) -> None:
    async with open_serving(tmp_path) as ours:
        ours.shutdown(socket.SHUT_RD)
        await ours.send(b'[1, "snapshot"]\n')


async def test_a_worker_ends_by_itself_when_its_gateway_dies_with_answers_unread(tmp_path: Path) -> None:
    async with open_serving(tmp_path) as ours:
        await trio.testing.wait_all_tasks_blocked()  # now it has said that it is ready
        ours.close()


@asynccontextmanager
async def open_serving(folder: Path) -> AsyncIterator[trio.socket.SocketType]:
    """The gateway's end of a worker's socket; waits in the end until the worker has ended."""
    file = folder / "sft.toml"
    file.write_text(to_toml(make_config()))
    ours, theirs = trio.socket.socketpair()
    with trio.fail_after(10), ours:
        async with trio.SocketStream(theirs) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(serve_worker, Worker(*prepare(file)), stream, stream)
            yield ours
