"""What the metrics cost a worker that has many participants, and that they stay as many as before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import trio
from prometheus_client import CollectorRegistry

from sft.plugin.manager import prepare
from sft.server.gateway import Gateway
from sft.server.services import InstanceServices
from sft.server.worker import Worker
from sft.webrtc.dtls import DtlsContext, generate_identity
from sft_metrics.collector import Collector
from sft_metrics.exposition import expose
from support.light_client import light_client
from support.metrics import samples
from support.server import make_config, merge, room_for, to_toml
from support.wire import new_id

TIMES = 20


def milliseconds(seconds: float) -> str:
    return f"{1000 * seconds / TIMES:.1f} ms"


@pytest.mark.parametrize("count", [200])
async def test_a_scrape_has_as_many_series_for_many_participants_as_for_two(
    tmp_path: Path, count: int
) -> None:
    file = tmp_path / "sft.toml"
    limits = {"pending_per_address": count}
    config = merge(make_config(limits=limits), {"plugins": room_for(count)})
    file.write_text(to_toml(config))
    config_read, manager = prepare(file)
    worker = Worker(config_read, manager)
    gateway = Gateway(config_read, manager, [worker])
    services = InstanceServices(1, lambda: [worker.snapshots.take()], gateway.snapshot)
    registry = CollectorRegistry()
    registry.register(Collector(services))
    context = DtlsContext(generate_identity(os.urandom))
    calls = [new_id() for _ in range(count // 10)]

    async def stay(number: int) -> None:
        async with light_client(worker.handle, calls[number % len(calls)], context):
            await trio.sleep_forever()

    async def gather(nursery: trio.Nursery, numbers: range) -> None:
        """Have these join, and wait until the worker knows."""
        for number in numbers:
            nursery.start_soon(stay, number)
        with trio.fail_after(60):
            while worker.observer.connected_total < numbers.stop:  # noqa: ASYNC110  # nobody else tells
                await trio.sleep(0.02)

    async with trio.open_nursery() as nursery:
        await nursery.start(worker.run)
        await gather(nursery, range(2))
        few = samples(expose(registry, None).decode())
        await gather(nursery, range(2, count))
        begin = time.process_time()
        for _ in range(TIMES):
            worker.snapshots.take()
        taken = time.process_time()
        for _ in range(TIMES):
            text = expose(registry, None)
        scraped = time.process_time() - taken - (taken - begin)
        many = samples(text.decode())
        nursery.cancel_scope.cancel()
    print(
        f"\n{count} participants: a snapshot takes {milliseconds(taken - begin)}, "
        f"writing {len(many)} series ({len(text)} bytes) {milliseconds(scraped)}"
    )
    assert (few["sft_participants_connected"], many["sft_participants_connected"]) == (2, count)
    assert many.keys() == few.keys()
