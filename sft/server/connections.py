"""The connections of an HTTP listener, each of which can harm nothing but itself."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState
from starlette.applications import Starlette

from sft.server.listener import ListenerConfig

Stream = trio.SSLStream[trio.SocketStream] | trio.SocketStream

LOGGED_PEERS = 100

ACCEPT_LOG_SECONDS = 60.0


class Connections:
    """Those of one listener. ``on_fault`` is called for each that ends by an error nobody expects."""

    def __init__(self, app: Starlette, config: ListenerConfig, on_fault: Callable[[], None]) -> None:
        self._app = ASGIWrapper(app)  # type: ignore[arg-type]  # Starlette is an ASGI 3 application
        self._config = config
        self._context = WorkerContext(None)
        self._on_fault = on_fault
        self._logged: set[str] = set()
        self._log = structlog.get_logger("http")

    async def serve(
        self,
        stop: Callable[[], Awaitable[None]],
        task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Until ``stop`` returns, and then as long as requests take, within the configured graceful timeout.
        ``task_status`` gets the URL."""
        async with trio.open_nursery() as connections:
            url, listener = self._config.url, self._config.open()
            async with trio.open_nursery() as accepting:
                accepting.start_soon(
                    partial(trio.serve_listeners, self._handle, [listener], handler_nursery=connections)
                )
                task_status.started(url)
                await stop()
                accepting.cancel_scope.cancel()
            await self._context.terminated.set()
            connections.cancel_scope.deadline = trio.current_time() + self._config.graceful_timeout

    async def _handle(self, stream: Stream) -> None:
        """What a client sends can bring the libraries of HTTP to raise whatever they like."""
        peer = _peer(stream)
        try:
            await TCPServer(self._app, self._config, self._context, ConnectionState({}), stream)  # type: ignore[arg-type]  # it takes both
        except* Exception as faults:
            self._on_fault()
            self._tell(peer, faults)

    def _tell(self, peer: str, fault: Exception) -> None:
        if peer in self._logged or len(self._logged) == LOGGED_PEERS:
            return
        self._logged.add(peer)
        while isinstance(fault, ExceptionGroup):
            fault = fault.exceptions[0]
        self._log.warning("connection_failed", peer=peer, reason=repr(fault)[:200])


def _peer(stream: Stream) -> str:
    """The address on the other side; empty: it has gone already."""
    plain = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    try:
        return str(plain.socket.getpeername()[0])
    except OSError:
        return ""


class _AcceptLog(logging.Handler):
    """trio says ten times a second, with a stack trace, that no descriptor is left for a connection."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        if record.created >= self._next:
            self._next = record.created + ACCEPT_LOG_SECONDS
            structlog.get_logger("http").error("cannot_accept", reason=record.getMessage())


_accept_log = logging.getLogger("trio.serve_listeners")
_accept_log.addHandler(_AcceptLog())
_accept_log.propagate = False
