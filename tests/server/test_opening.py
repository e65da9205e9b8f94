"""A transport that cannot be opened costs nothing: no port, no call, and not the join if there is another."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from copy import copy
from pathlib import Path

import pytest
import trio

from sft import hookimpl
from sft.calls.requests import Connect, Offered, Refusal, Refused
from sft.errors import TransportError
from sft.model import ParticipantId
from sft.plugin import Receive, Transport, TransportStats
from sft.plugin.loading import Loaded
from sft.plugin.manager import prepare
from sft.server.worker import Worker
from support.server import make_config, to_toml

EXHAUSTED = OSError(errno.EMFILE, "Too many open files")
OTHERS = ["transport_udp", "transport_tcp"]


class Pigeons:
    """A plugin, and its only factory."""

    name = "pigeon"
    error: BaseException = EXHAUSTED

    def open(self, receive: Receive) -> Transport:
        raise copy(self.error)  # what is raised keeps the stack, and so the call

    def stats(self) -> TransportStats:
        return TransportStats(ports_total=0, ports_free=0)

    def check(self) -> list[object]:
        return []

    def close(self) -> None:
        pass

    @hookimpl
    def sft_transports(self) -> list[Pigeons]:
        return [self]


@pytest.fixture
def pigeons() -> Pigeons:
    return Pigeons()


@pytest.fixture
def make_worker(tmp_path: Path, nursery: trio.Nursery, pigeons: Pigeons) -> Callable[..., Awaitable[Worker]]:
    async def make(**plugins: object) -> Worker:
        file = tmp_path / "sft.toml"
        file.write_text(to_toml(make_config(plugins=plugins)))
        config, manager = prepare(file)
        manager.register(Loaded("pigeon", pigeons, "1.0", "test"))
        worker = Worker(config, manager)
        worker.factories = sorted(worker.factories, key=lambda one: one.name == "pigeon")  # the last
        await nursery.start(worker.run)
        return worker

    return make


def join(user: str = "ann") -> Connect:
    return Connect(f"call of {user}", ParticipantId(user, "_"), "127.0.0.1")


def free(worker: Worker) -> list[int]:
    return [factory.stats().ports_free for factory in worker.factories]


@pytest.mark.parametrize(
    ("error", "faults"), [(EXHAUSTED, 0), (TransportError("no pigeon"), 0), (KeyError("pigeon"), 1)]
)
async def test_a_join_goes_on_without_the_transport_that_failed(
    make_worker: Callable[..., Awaitable[Worker]], pigeons: Pigeons, error: BaseException, faults: int
) -> None:
    pigeons.error = error
    worker = await make_worker()
    before = free(worker)
    reply = await worker.handle(join())
    assert isinstance(reply, Offered)
    assert {"udp", "tcp"} <= set(reply.sdp.lower().split())
    assert worker.faults()["pigeon.sft_transports"] == faults
    worker.calls.abandon(trio.current_time())
    assert (free(worker), len(worker.calls)) == (before, 0)


@pytest.mark.parametrize(
    ("error", "told", "faults"),
    [
        (EXHAUSTED, "pigeon: Too many open files", 0),
        (TransportError("no pigeon"), "no pigeon", 0),
        (KeyError("pigeon"), "pigeon: its plugin failed", 1),
    ],
)
async def test_without_another_transport_the_join_is_refused_and_says_why(
    make_worker: Callable[..., Awaitable[Worker]],
    pigeons: Pigeons,
    error: BaseException,
    told: str,
    faults: int,
) -> None:
    pigeons.error = error
    worker = await make_worker(block=OTHERS, transport_udp=None, transport_tcp=None)
    assert await worker.handle(join()) == Refused(Refusal.TRANSPORT_FAILED, told)
    assert worker.faults()["pigeon.sft_transports"] == faults
    assert worker.calls.refusals == {Refusal.TRANSPORT_FAILED: 1}
    assert len(worker.calls) == 0


async def test_what_ends_the_opening_itself_closes_what_was_open(
    make_worker: Callable[..., Awaitable[Worker]], pigeons: Pigeons
) -> None:
    pigeons.error = KeyboardInterrupt()
    worker = await make_worker()
    before = free(worker)
    with pytest.raises(KeyboardInterrupt):
        await worker.handle(join())
    assert (free(worker), len(worker.calls)) == (before, 0)


async def test_a_descriptor_that_cannot_be_watched_costs_no_port(
    make_worker: Callable[..., Awaitable[Worker]], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = await make_worker()
    before = free(worker)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")  # fs.epoll.max_user_watches

    with monkeypatch.context() as patch:
        patch.setattr(worker.pump, "watch", full)
        for user in "abcde":
            assert isinstance(await worker.handle(join(user)), Refused)
    assert (free(worker), len(worker.calls), worker.pump.watched) == (before, 0, 0)
    assert isinstance(await worker.handle(join()), Offered)
