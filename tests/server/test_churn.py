"""What a worker holds after many calls came and went: as much as before."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from sft.plugin.manager import prepare
from sft.server.worker import Worker
from sft.webrtc.dtls import DtlsContext, generate_identity
from support.holdings import settled
from support.light_client import light_client
from support.server import make_config, to_toml
from support.wire import new_id

AT_ONCE = 10


@pytest.mark.parametrize("count", [100, pytest.param(2000, marks=pytest.mark.nightly)])
async def test_calls_that_came_and_went_leave_nothing_behind(tmp_path: Path, count: int) -> None:
    file = tmp_path / "sft.toml"
    file.write_text(to_toml(make_config(timers={"silence_seconds": 2})))
    worker = Worker(*prepare(file))
    context = DtlsContext(generate_identity(os.urandom))

    async def meet_and_part(done: int) -> None:
        """Two join; the second leaves with HANGUP, the first in one of three ways."""
        call = new_id()
        async with light_client(worker.handle, call, context) as ann:
            async with light_client(worker.handle, call, context) as bob:
                for client in (ann, bob):
                    await client.until(lambda one=client: len(one.roster) == 2)  # type: ignore[misc]  # bound early
                    await client.approve_everybody()
                await bob.leave()
            await ann.until(lambda: len(ann.roster) == 1)
            if done % 3 == 0:
                await ann.leave()
            elif done % 3 == 1:
                await ann.close()
        # otherwise it vanished, and the worker hears no more of it

    async with trio.open_nursery() as nursery:
        await nursery.start(worker.run)
        await meet_and_part(0)  # what is made once, is made now
        before = await settled(worker)
        for start in range(0, count, AT_ONCE):
            async with trio.open_nursery() as calls:
                for number in range(start, start + AT_ONCE):
                    calls.start_soon(meet_and_part, number)
        assert await settled(worker) == before
        assert worker.internal_errors == 0
        nursery.cancel_scope.cancel()
