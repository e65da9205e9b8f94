"""A worker whose participants share one UDP port, with real sockets, ICE and DTLS."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from sft.model import Drop
from sft.plugin.manager import prepare
from sft.server.worker import Worker
from sft.webrtc import stun
from sft.webrtc.dtls import DtlsContext, generate_identity
from support.light_client import LightClient, light_client
from support.server import make_config, to_toml
from support.wire import new_id


@pytest.fixture
async def worker(tmp_path: Path, nursery: trio.Nursery) -> Worker:
    file = tmp_path / "sft.toml"
    file.write_text(to_toml(make_config(plugins={"transport_udp": {"shared": True}})))
    worker = Worker(*prepare(file))
    await nursery.start(worker.run)
    return worker


@asynccontextmanager
async def two_in_a_call(worker: Worker) -> AsyncIterator[tuple[LightClient, LightClient]]:
    context, call = DtlsContext(generate_identity(os.urandom)), new_id()
    async with (
        light_client(worker.handle, call, context) as ann,
        light_client(worker.handle, call, context) as bob,
    ):
        for client in (ann, bob):
            await client.until(lambda one=client: len(one.roster) == 2)  # type: ignore[misc]  # bound early
            await client.approve_everybody()
        yield ann, bob


async def answers(client: LightClient) -> bool:
    """Whether the client's channel works both ways."""
    before = len(client.of_type("PING"))
    await client.say("PING")
    await client.until(lambda: len(client.of_type("PING")) > before)
    return True


async def test_two_calls_on_one_port(worker: Worker) -> None:
    async with two_in_a_call(worker) as (ann, bob), two_in_a_call(worker) as (cid, eve):
        assert len({client.server_address for client in (ann, bob, cid, eve)}) == 1
        for client in (ann, bob, cid, eve):
            assert await answers(client)
    assert worker.internal_errors == 0


async def test_a_client_that_moves_keeps_its_session(worker: Worker) -> None:
    async with two_in_a_call(worker) as (ann, bob):
        before = ann.local_address
        await ann.move()
        assert ann.local_address != before
        assert await answers(ann)
        assert await answers(bob)
        assert len(ann.roster) == 2, "nobody noticed"
    assert worker.internal_errors == 0


async def test_forged_claims_and_garbage_change_nothing(worker: Worker) -> None:
    async with two_in_a_call(worker) as (ann, bob):
        ufrags = list(worker.services.routes)
        forged = [
            stun.write(
                stun.Kind.REQUEST,
                stun.BINDING,
                os.urandom(12),
                [(stun.USERNAME, f"{ufrag}:x".encode()), (stun.USE_CANDIDATE, b"")],
                b"not the password",
            )
            for ufrag in ufrags
        ]
        name = (stun.USERNAME, b"nobody:x")
        to_nobody = stun.write(stun.Kind.REQUEST, stun.BINDING, os.urandom(12), [name], b"no password")
        with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as stranger:
            for _ in range(100):
                for data in (*forged, to_nobody, b"\x80" * 60, b"\x16\xfe\xfd" + bytes(40)):
                    await stranger.sendto(data, ann.server_address)
            for client in (ann, bob):
                assert await answers(client)
        drops = worker.drops.counts
        with trio.fail_after(5):
            while drops[Drop.STUN_INTEGRITY] + drops[Drop.NO_PEER] < 400:
                await answers(ann)
        assert drops[Drop.STUN_INTEGRITY] > 100
        assert drops[Drop.NO_PEER] > 200
    assert worker.internal_errors == 0
