"""A worker: one process' share of the calls. Takes request values, gives reply values.

Everything that waits is here (one pump, background work of plugins); everything that decides is in
:mod:`sft.calls` and below.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial

import structlog
import trio

from sft.calls.calls import Calls
from sft.calls.context import Context, Settings
from sft.calls.requests import Ask, Connect, Drain, Reply, Request
from sft.calls.timers import TimerHeap
from sft.config import Config
from sft.errors import TransportError
from sft.forwarding.engine import PythonEngine
from sft.model import Drops, IceServer, RandomBytes, WorkerLoad
from sft.plugin.interfaces import ReadingEngine, Receive, Transport, TransportFactory
from sft.plugin.manager import PluginManager
from sft.plugin.values import Snapshot
from sft.server.lag import LoopLag
from sft.server.observer import HookObserver
from sft.server.pump import Pump
from sft.server.relay import Relays
from sft.server.relay_transport import RelayTransport
from sft.server.services import WorkerServices
from sft.server.snapshot import Snapshots
from sft.webrtc.dtls import DtlsContext
from sft.webrtc.ice import FullAgent, IceAgent, LiteAgent
from sft.webrtc.peer import Peer
from sft.webrtc.sctp import SctpAssociation


class Worker:
    """Make it inside a trio run, ``nursery.start(worker.run)``, then :meth:`handle` requests."""

    def __init__(self, config: Config, manager: PluginManager, index: int = 0, workers: int = 1) -> None:
        self._log = structlog.get_logger("worker")
        self._config = config
        self._manager = manager
        self.timers = TimerHeap()
        self.drops = Drops()
        self.internal_errors = 0
        self.pump = Pump(self.timers, self.internal_error)
        self.services = WorkerServices(index, workers, self.pump, self.timers, self.drops)
        self.observer = HookObserver(manager)
        self.factories: Sequence[TransportFactory] = manager.transports(config, self.services)
        warm_up(trio.current_time())
        dtls = DtlsContext(manager.dtls_identity(), manager.srtp_profiles())
        self.relays = Relays(config, self.pump, self.timers, self.drops) if config.relay.is_used else None
        self._relayed: list[RelayTransport] = []  # for the join that is being answered
        engine = manager.engine(config, self.services) or PythonEngine(self.drops)
        self.context = Context(
            settings=settings_of(config),
            timers=self.timers,
            observer=self.observer,
            engine=engine,
            drops=self.drops,
            random=os.urandom,
            wall=lambda now: time.time() + (now - trio.current_time()),
            make_peer=partial(_make_peer, dtls, FullAgent if config.ice.mode == "full" else LiteAgent),
            open_transports=self._open_transports,
            routes=self.services.routes,
        )
        if isinstance(engine, ReadingEngine):
            self.context.make_receive = engine.receiver
            self.pump.make_waiter = engine.waiter
        self.calls = Calls(self.context)
        self.lag = LoopLag(self.timers, trio.current_time())
        self.snapshots = Snapshots(self)
        self.on_drain: Callable[[], None] = lambda: None

    @property
    def index(self) -> int:
        return self.services.worker

    async def handle(self, request: Request) -> Reply:
        """Answer one request of the gateway."""
        if isinstance(request, Ask):
            return self.load()
        if isinstance(request, Drain):
            self.on_drain()
        if self.relays is not None and isinstance(request, Connect) and self.calls.refusal(request) is None:
            return self._handle_with(await self.relays.open(request), request)
        return self.calls.handle(request, trio.current_time())

    def _handle_with(self, relayed: list[RelayTransport], request: Connect) -> Reply:
        """What the connection does not take is given back."""
        self._relayed = relayed
        try:
            return self.calls.handle(request, trio.current_time())
        finally:
            unclaimed, self._relayed = self._relayed, []
            for transport in unclaimed:
                transport.close()

    async def snapshot(self) -> Snapshot:
        """All its counters now."""
        return self.snapshots.take()

    def load(self) -> WorkerLoad:
        return WorkerLoad(
            worker=self.index,
            packets_per_second=self.snapshots.packets_per_second,
            loop_lag=self.lag.worst(),
            participants=self.calls.participants,
            calls=len(self.calls),
            free_ports=max((factory.stats().ports_free for factory in self.factories), default=0),
            draining=self.calls.draining,
        )

    def faults(self) -> dict[str, int]:
        """Of plugins, by ``PLUGIN.HOOK``."""
        return self._manager.fault_counts()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; then free what is held."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.pump.run)
                self._manager.run(nursery, self.services)
                task_status.started()
        finally:
            self.close()

    def close(self) -> None:
        """End all calls and close the transports. May be called twice."""
        self.calls.abandon(trio.current_time())
        self.lag.stop()
        for factory in self.factories:
            factory.close()
        self.pump.close()

    def _open_transports(self, receive: Receive, ice_servers: Sequence[IceServer]) -> Sequence[Transport]:
        """One transport of each kind, and what relays gave; a kind that has none left only counts if it
        is the last."""
        only_relayed = self._config.ice.candidates == "relay"
        transports: list[Transport] = []
        failure: TransportError | None = None
        try:
            for factory in () if only_relayed else self.factories:
                try:
                    transports.append(self._open_transport(factory, receive))
                except TransportError as error:
                    failure = error
                    self._log.warning("transport_unavailable", transport=factory.name, reason=str(error))
            relayed, self._relayed = self._relayed, []
            transports += relayed
            for relay in relayed:
                relay.claim(receive, only_relayed=only_relayed)
            if not any(transport.candidates for transport in transports):
                raise failure or TransportError(
                    "no relay gave an address" if only_relayed else "no transport plugin is loaded"
                )
        except BaseException:
            for transport in transports:
                transport.close()
            raise
        return transports

    def _open_transport(self, factory: TransportFactory, receive: Receive) -> Transport:
        """``TransportError``, whatever the plugin lets out."""
        try:
            return factory.open(receive)
        except TransportError:
            raise
        except OSError as error:
            raise TransportError(f"{factory.name}: {error.strerror or error}") from error
        except Exception as error:
            self._manager.transport_fault(factory.name, error)
            raise TransportError(f"{factory.name}: its plugin failed") from error

    def internal_error(self, error: BaseException) -> None:
        """Count and log a bug that ends nothing else."""
        self.internal_errors += 1
        self._log.error("internal_error", exc_info=error)


def settings_of(config: Config) -> Settings:
    """The part of the config that calls look at."""
    limits, timers, media = config.limits, config.timers, config.media
    return Settings(
        url=config.server.announced_url,
        audio_slots=media.audio_slots,
        max_video_slots=media.max_video_slots,
        adapt_video=media.adapt_video,
        participants_per_call=limits.participants_per_call,
        participants_per_worker=limits.participants_per_worker,
        pending_per_address=limits.pending_per_address,
        offer_seconds=timers.offer_seconds,
        connect_seconds=timers.connect_seconds,
        silence_seconds=timers.silence_seconds,
        ping_seconds=timers.ping_seconds,
        roster_seconds=timers.roster_milliseconds / 1000,
    )


def warm_up(now: float) -> None:
    """The first association loads aiortc: 40 MB and up to half a second that no join should wait for."""
    SctpAssociation(os.urandom, now, is_server=True)


def _make_peer(dtls: DtlsContext, agent: Callable[[RandomBytes], IceAgent], now: float) -> Peer:
    return Peer(context=dtls, ice=agent(os.urandom), random=os.urandom, now=now)
