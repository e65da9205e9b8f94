"""A worker in a process of its own, started by the supervisor: ``python -m sft.server.worker_process FD``.

FD is the worker's end of a stream socket, on which :mod:`sft.server.pipe` is spoken. Standard input has the
:class:`Task` as JSON. Signals are the gateway's business; a worker ends when the gateway closes the socket,
or dies.
"""

from __future__ import annotations

import gc
import json
import signal
import socket
import sys
from pathlib import Path

import attrs
import cattrs
import structlog
import trio

from sft.config import parse_config
from sft.config.logs import configure_logging
from sft.errors import SftError
from sft.plugin.manager import PluginManager
from sft.plugin.values import DrainState
from sft.server.pipe import serve_worker
from sft.server.worker import Worker


@attrs.frozen
class Task:
    """What a worker process has to know. The configuration is the text the instance was started with: its
    file may have changed since."""

    text: str
    file: Path | None
    index: int
    workers: int


async def serve(task: Task, gateway: socket.socket) -> None:
    """Be the worker until the gateway goes away."""
    manager = PluginManager.load(config := parse_config(task.text, task.file))
    config = manager.configure(config)
    configure_logging(config.log)
    worker = Worker(config, manager, task.index, task.workers)
    worker.on_drain = lambda: manager.notify("sft_draining", state=DrainState.DRAINING)
    async with (
        trio.SocketStream(trio.socket.from_stdlib_socket(gateway)) as stream,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(worker.run)
        gc.collect()
        gc.freeze()  # what lives until the end need not be looked at in every full collection
        await serve_worker(worker, stream, stream)
        manager.notify("sft_draining", state=DrainState.CLOSED)
        nursery.cancel_scope.cancel()


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    task = cattrs.structure(json.load(sys.stdin), Task)
    structlog.contextvars.bind_contextvars(worker=task.index)  # here: the pump runs in no task's context
    try:
        trio.run(serve, task, socket.socket(fileno=int(sys.argv[1])))
    except SftError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
