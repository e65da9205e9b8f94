"""What joins do with relays: each connection has its own, and none outlives it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import attrs
import pytest
import trio

from sft.calls.requests import Connect, Offered, Refusal, Refused
from sft.model import ParticipantId
from sft.plugin.manager import prepare
from sft.server.worker import Worker
from support.coturn import Coturn, running_coturn
from support.server import make_config, to_toml


@pytest.fixture(scope="module")
def coturn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    with running_coturn(tmp_path_factory.mktemp("coturn")) as coturn:
        yield coturn


@pytest.fixture
async def worker(coturn: Coturn, tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Worker]:
    file = tmp_path / "sft.toml"
    tables = {
        "ice": {"mode": "full", "candidates": "relay"},
        "relay": {"servers": [coturn.url("udp")], "username": "ann", "password": "pass"},
        "limits": {"participants_per_call": 5},
    }
    file.write_text(to_toml(make_config(**tables)))
    worker = Worker(*prepare(file))
    await nursery.start(worker.run)
    yield worker
    nursery.cancel_scope.cancel()


def join(user: str) -> Connect:
    return Connect("call", ParticipantId(user, "_"), "127.0.0.1")


def in_use(worker: Worker) -> int:
    assert worker.relays is not None
    return worker.relays.open_now


async def test_every_connection_has_a_relay_of_its_own_and_gives_it_back(worker: Worker) -> None:
    for user in "abcde":
        reply = await worker.handle(join(user))
        assert isinstance(reply, Offered)
        assert reply.sdp.count("typ relay") == 1
        assert "typ host" not in reply.sdp
        assert "ice-lite" not in reply.sdp
    assert in_use(worker) == 5
    assert isinstance(await worker.handle(join("a")), Offered), "in place of the first"
    assert in_use(worker) == 5
    worker.calls.abandon(trio.current_time())
    assert in_use(worker) == 0


async def test_a_refused_join_keeps_no_relay(worker: Worker) -> None:
    for user in "abcde":
        await worker.handle(join(user))
    assert await worker.handle(join("f")) == Refused(Refusal.CALL_FULL)
    assert in_use(worker) == 5
    worker.calls.draining = True
    other = attrs.evolve(join("f"), call="other")
    assert await worker.handle(other) == Refused(Refusal.DRAINING)


async def test_joins_at_the_same_time_do_not_mix_up_their_relays(worker: Worker) -> None:
    offers: list[str] = []

    async def ask(user: str) -> None:
        reply = await worker.handle(join(user))
        assert isinstance(reply, Offered)
        offers.append(reply.sdp)

    async with trio.open_nursery() as nursery:
        for user in "abcde":
            nursery.start_soon(ask, user)
    lines = {line for offer in offers for line in offer.split("\r\n") if "typ relay" in line}
    assert len(lines) == 5
    assert in_use(worker) == 5
