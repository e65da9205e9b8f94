"""Putting an instance together: one gateway, its workers, two listeners, signals (protocol section 1.8)."""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import structlog
import trio

from sft.config import Config
from sft.plugin.manager import PluginManager
from sft.plugin.values import DrainState
from sft.server.connections import Connections
from sft.server.gateway import Gateway
from sft.server.http import hypercorn_config, open_listener, operator_app, public_app
from sft.server.reload import reload_on_sighup
from sft.server.services import InstanceServices
from sft.server.snapshot_feed import SnapshotFeed
from sft.server.supervisor import Supervisor
from sft.server.worker import Worker


def run(config: Config, manager: PluginManager) -> None:
    """Run an instance until a signal ends it. Blocks."""
    trio.run(serve_instance, config, manager)


async def serve_instance(
    config: Config,
    manager: PluginManager,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run until told to stop; ``task_status`` gets the URLs listened on."""
    with (
        open_listener(config.server.listen) as public,
        open_listener(config.server.operator_listen) as operator,
    ):
        await _serve(config, manager, public, operator, task_status)


async def _serve(
    config: Config,
    manager: PluginManager,
    public: socket.socket,
    operator: socket.socket,
    task_status: trio.TaskStatus[list[str]],
) -> None:
    log = structlog.get_logger("instance")
    gateway = Gateway(config, manager)
    feed = SnapshotFeed(config.telemetry.snapshot_seconds, gateway, manager)
    stop = trio.Event()
    services = InstanceServices(config.server.workers, lambda: feed.newest, gateway.snapshot)
    routes = manager.http_routes(config, services)
    public_listener = hypercorn_config(
        public,
        config.limits.header_seconds,
        str(config.path(config.server.certificate)) if config.server.certificate else "",
        str(config.path(config.server.key)) if config.server.key else "",
    )
    async with running_workers(config, manager, gateway), trio.open_nursery() as nursery:
        await nursery.start(reload_on_sighup, config, manager, public_listener)
        await nursery.start(feed.run)
        manager.run(nursery, services)
        async with trio.open_nursery() as listeners:
            public_pages = public_app(config, gateway, routes.public)
            url: str = await listeners.start(
                Connections(public_pages, public_listener, gateway.connection_failed).serve, stop.wait
            )
            operator_pages = operator_app(config, gateway, routes.operator)
            operator_listener = hypercorn_config(operator, config.limits.header_seconds)
            await listeners.start(
                Connections(operator_pages, operator_listener, gateway.connection_failed).serve, stop.wait
            )
            gc.collect()
            gc.freeze()  # what lives until the end need not be looked at in every full collection
            log.info("listening", urls=[url], announced=config.server.announced_url)
            if config.server.web_client:
                log.info(f"open {config.server.announced_url} in a browser")
            task_status.started([url])
            await _until_told_to_stop(gateway)
            log.info("stopping")
            manager.notify("sft_draining", state=DrainState.CLOSED)
            stop.set()
            listeners.cancel_scope.deadline = trio.current_time() + 2
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def running_workers(config: Config, manager: PluginManager, gateway: Gateway) -> AsyncIterator[None]:
    """One worker in this process, or several in processes of their own."""
    if config.server.workers > 1:
        supervisor = Supervisor(config, gateway)
        try:
            await supervisor.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(supervisor.run)
                yield
                nursery.cancel_scope.cancel()
        finally:
            await supervisor.stop()
        return
    worker = Worker(config, manager)
    worker.observer.on_call_started = partial(gateway.call_started, worker.index)
    worker.observer.on_call_ended = gateway.call_ended
    worker.observer.on_join_ended = partial(gateway.join_ended, worker.index)
    gateway.add_worker(worker)
    async with trio.open_nursery() as nursery:
        await nursery.start(worker.run)
        yield
        nursery.cancel_scope.cancel()


async def _until_told_to_stop(gateway: Gateway) -> None:
    """SIGINT stops at once; SIGTERM drains: no new calls, stop when the last one has ended; a second
    signal stops at once."""
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        if await anext(signals) == signal.SIGINT:
            return
        await gateway.drain()
        with trio.CancelScope() as until_idle:
            gateway.on_idle = until_idle.cancel
            if not gateway.idle:
                await anext(signals)
