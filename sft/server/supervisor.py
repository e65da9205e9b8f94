"""Worker processes: started with the instance, watched, replaced when they die.

A worker that dies takes its calls with it; the others' go on. Its clients notice by themselves and come back
with an UPDATE for a participant that nobody has heard of (protocol section 8.5), and find each other
in a new call.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from functools import partial

import attrs
import cattrs
import structlog
import trio

from sft.calls.requests import Ask
from sft.config import Config
from sft.errors import LocalError
from sft.plugin.values import DrainState
from sft.server.gateway import Gateway
from sft.server.pipe import READY, PipeWorker
from sft.server.worker_process import Task

START_SECONDS = 60
"""A worker that is not ready by then is given up."""

WATCH_SECONDS = 5
"""Between two questions to a worker whether it lives."""

PATIENCE_SECONDS = 20
"""A worker that does not answer for so long is killed: its loop hangs, and its calls with it."""

STOP_SECONDS = 2
"""For a worker to end by itself when the instance stops."""

PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.5, 30.0
"""Before a dead worker is replaced; doubled each time, until one has lived for MAX_PAUSE_SECONDS."""


@attrs.frozen
class _Running:
    process: trio.Process
    stream: trio.SocketStream
    handle: PipeWorker


class Supervisor:
    """``start`` it, then ``run`` it in a nursery; ``stop`` frees what it holds."""

    def __init__(self, config: Config, gateway: Gateway) -> None:
        self._config = config
        self._gateway = gateway
        self._running: dict[int, _Running] = {}
        self._log = structlog.get_logger("supervisor")

    async def start(self) -> None:
        """Start all workers; ``LocalError`` when one does not come up."""
        failures: list[LocalError] = []

        async def start(index: int) -> None:
            try:
                await self._start(index)
            except LocalError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            for index in range(self._config.server.workers):
                nursery.start_soon(start, index)
        if failures:
            raise failures[0]

    async def run(self) -> None:
        """Keep them alive until cancelled."""
        async with trio.open_nursery() as nursery:
            for index in range(self._config.server.workers):
                nursery.start_soon(self._keep, index)

    async def stop(self) -> None:
        """End all workers: by closing their pipes, and whoever does not take the hint, by force."""
        async with trio.open_nursery() as nursery:
            for index in list(self._running):
                nursery.start_soon(self._end, index)

    async def _keep(self, index: int) -> None:
        """One worker and its successors."""
        pause = PAUSE_SECONDS
        while True:
            began = trio.current_time()
            if index in self._running:
                await self._serve(self._running[index])
                self._gateway.remove_worker(index)
                code = await self._end(index)
                self._log.error("worker_died", worker=index, exit_code=code)
            if trio.current_time() - began > MAX_PAUSE_SECONDS:
                pause = PAUSE_SECONDS
            await trio.sleep(pause)
            if self._gateway.state is not DrainState.RUNNING:
                return  # nobody may place a call there
            pause = min(2 * pause, MAX_PAUSE_SECONDS)
            try:
                await self._start(index)
            except LocalError as error:
                self._log.error("worker_not_started", worker=index, reason=str(error))

    async def _serve(self, running: _Running) -> None:
        """Until it goes away, or has to be killed."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, running)
            await running.handle.run()
            nursery.cancel_scope.cancel()

    async def _watch(self, running: _Running) -> None:
        """Until it has to be killed."""
        patience = trio.CancelScope()
        while not patience.cancelled_caught:
            await trio.sleep(WATCH_SECONDS)
            with trio.move_on_after(PATIENCE_SECONDS) as patience, contextlib.suppress(LocalError):
                await running.handle.handle(Ask())
        self._log.error("worker_hangs", worker=running.handle.index)
        running.process.kill()

    async def _start(self, index: int) -> None:
        """Start one worker and tell the gateway when it is ready."""
        try:
            process, ours = await _spawn()
        except OSError as error:  # no descriptor, no memory, no such interpreter any more
            raise LocalError(f"worker {index} cannot be started: {error}") from error
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        self._running[index] = running = _Running(process, stream, PipeWorker(index, stream, stream))
        ready = b""
        with trio.move_on_after(START_SECONDS):
            ready = await self._brief(process, stream, index)
        if ready != READY:
            code = await self._end(index)
            raise LocalError(f"worker {index} did not start (exit code {code}); the log above says why")
        running.handle.on_call_started = partial(self._gateway.call_started, index)
        running.handle.on_call_ended = self._gateway.call_ended
        running.handle.on_join_ended = partial(self._gateway.join_ended, index)
        self._gateway.add_worker(running.handle)

    async def _brief(self, process: trio.Process, stream: trio.SocketStream, index: int) -> bytes:
        config = self._config
        task = Task(config.text, config.file, index, config.server.workers)
        assert process.stdin is not None  # it is a pipe
        try:
            await process.stdin.send_all(json.dumps(cattrs.unstructure(task)).encode())
            await process.stdin.aclose()
            return bytes(await stream.receive_some(len(READY)))
        except trio.BrokenResourceError:
            return b""

    async def _end(self, index: int) -> int | None:
        """Make sure that a worker is gone; returns its exit code."""
        running = self._running.pop(index)
        with trio.CancelScope(shield=True):
            await running.stream.aclose()
            with trio.move_on_after(STOP_SECONDS) as scope:
                await running.process.wait()
            if scope.cancelled_caught:
                running.process.kill()
            await running.process.wait()
        return running.process.returncode


async def _spawn() -> tuple[trio.Process, socket.socket]:
    """A worker's process, which waits for its task, and our end of its socket."""
    ours, theirs = socket.socketpair()
    with contextlib.ExitStack() as stack, theirs:
        stack.callback(ours.close)
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "sft.server.worker_process", str(theirs.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[theirs.fileno()],
            start_new_session=True,  # or a terminal's Ctrl-C would end it before it can ignore signals
        )
        stack.pop_all()
    return process, ours
