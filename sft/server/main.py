"""Putting an instance together: one gateway, its workers, two listeners, signals (protocol section 1.8)."""

from __future__ import annotations

import gc
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from types import FrameType

import structlog
import trio

from sft.config import Config
from sft.errors import SftError
from sft.plugin.manager import PluginManager
from sft.plugin.values import DrainState
from sft.server.connections import Connections
from sft.server.gateway import Gateway
from sft.server.http import hypercorn_config, open_listener, operator_app, public_app
from sft.server.orders import SIGNALS, Orders
from sft.server.reload import reload_when_told
from sft.server.services import InstanceServices
from sft.server.snapshot_feed import SnapshotFeed
from sft.server.supervisor import Supervisor
from sft.server.worker import Worker


def run(config: Config, manager: PluginManager) -> None:
    """Run an instance until a signal ends it. Blocks. Signals mean nothing to the process any more then."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # until the instance listens
    for number in SIGNALS:
        signal.signal(number, _come_too_late)
    try:
        trio.run(serve_instance, config, manager)
    finally:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def _come_too_late(number: int, frame: FrameType | None) -> None:
    """Of signals that trio passes on since nobody has read them when the instance ended. To ignore them from
    the beginning would discard those that are blocked."""


async def serve_instance(
    config: Config,
    manager: PluginManager,
    task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run until told to stop; ``task_status`` gets the URLs listened on."""
    orders = Orders()
    failure: SftError | None = None
    with (
        trio.open_signal_receiver(*SIGNALS) as signals,
        open_listener(config.server.listen) as public,
        open_listener(config.server.operator_listen) as operator,
    ):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(orders.hear, signals)
            try:
                with trio.CancelScope() as starting:
                    orders.on_told = starting.cancel
                    await _serve(config, manager, public, operator, orders, task_status)
            except SftError as error:  # of the operator's making, and told without the nursery's wrapping
                failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if starting.cancelled_caught:
        structlog.get_logger("instance").info("stopped", reason="told to while it started")


async def _serve(
    config: Config,
    manager: PluginManager,
    public: socket.socket,
    operator: socket.socket,
    orders: Orders,
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
        nursery.start_soon(reload_when_told, config, manager, public_listener, orders.reloads)
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
            orders.on_told = lambda: None
            await _until_told_to_stop(gateway, orders)
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


async def _until_told_to_stop(gateway: Gateway, orders: Orders) -> None:
    """Draining: no new calls, stop when the last one has ended."""
    await orders.told.wait()
    if orders.stop.is_set():
        return
    await gateway.drain()
    with trio.CancelScope() as until_idle:
        gateway.on_idle = until_idle.cancel
        if not gateway.idle:
            await orders.stop.wait()
