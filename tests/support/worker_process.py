"""A worker behind a pipe: ``python -m support.worker_process CONFIG`` serves requests on standard input
and answers on standard output until its input ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import trio

from sft.config.logs import configure_logging
from sft.plugin.manager import prepare
from sft.server.pipe import serve_worker
from sft.server.worker import Worker


async def main(file: Path) -> None:
    config, manager = prepare(file)
    configure_logging(config.log)
    worker = Worker(config, manager)
    async with trio.open_nursery() as nursery:
        await nursery.start(worker.run)
        async with (
            trio.lowlevel.FdStream(os.dup(0)) as requests,
            trio.lowlevel.FdStream(os.dup(1)) as replies,
        ):
            await serve_worker(worker, requests, replies)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, Path(sys.argv[1]))
