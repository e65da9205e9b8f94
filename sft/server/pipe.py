"""A worker in another process: the same request and reply values, a line of JSON each.

To the worker: ``[number, request]``. From it: ``[number, reply]``, and unasked
``["started" | "ended", call]``. One request may be answered before an earlier one.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable

import trio
from trio.abc import ReceiveStream, SendStream

from sft.calls.requests import Reply, Request, dump_reply, dump_request, load_reply, load_request
from sft.errors import LocalError
from sft.server.worker import Worker

MAX_LINE = 1 << 20


async def lines(stream: ReceiveStream) -> AsyncIterator[bytes]:
    """The lines of a stream, without their ends."""
    buffer = bytearray()
    async for chunk in stream:
        buffer += chunk
        while (end := buffer.find(b"\n")) >= 0:
            yield bytes(buffer[:end])
            del buffer[: end + 1]
        if len(buffer) > MAX_LINE:
            raise LocalError("a line of the worker pipe is too long")


async def serve_worker(worker: Worker, requests: ReceiveStream, replies: SendStream) -> None:
    """The worker's end: answer until the gateway closes its end."""
    outbox, inbox = trio.open_memory_channel[bytes](math.inf)
    worker.observer.on_call_started = lambda call: outbox.send_nowait(json.dumps(["started", call]).encode())
    worker.observer.on_call_ended = lambda call: outbox.send_nowait(json.dumps(["ended", call]).encode())

    async def answer(number: int, request: Request) -> None:
        reply = json.loads(dump_reply(await worker.handle(request)))
        await outbox.send(json.dumps([number, reply]).encode())

    async def write() -> None:
        async for line in inbox:
            await replies.send_all(line + b"\n")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        async for line in lines(requests):
            number, request = json.loads(line)
            nursery.start_soon(answer, number, load_request(json.dumps(request).encode()))
        nursery.cancel_scope.cancel()


class PipeWorker:
    """The gateway's end; has the methods of a worker that the gateway calls."""

    def __init__(self, index: int, requests: SendStream, replies: ReceiveStream) -> None:
        self.index = index
        self._requests = requests
        self._replies = replies
        self._lock = trio.Lock()
        self._number = 0
        self._waiting: dict[int, trio.MemorySendChannel[Reply]] = {}
        self.on_call_started: Callable[[str], None] = lambda call: None
        self.on_call_ended: Callable[[str], None] = lambda call: None

    async def handle(self, request: Request) -> Reply:
        """Ask the worker; ``LocalError`` when it went away before it answered."""
        self._number += 1
        number = self._number
        sender, receiver = trio.open_memory_channel[Reply](1)
        self._waiting[number] = sender
        line = json.dumps([number, json.loads(dump_request(request))]).encode() + b"\n"
        try:
            async with self._lock:
                with trio.CancelScope(shield=True):  # half a line would spoil all that follow
                    await self._requests.send_all(line)
            return await receiver.receive()
        except (trio.EndOfChannel, trio.BrokenResourceError, trio.ClosedResourceError):
            raise LocalError("the worker went away") from None
        finally:
            self._waiting.pop(number, None)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Read what the worker says until it goes away."""
        task_status.started()
        try:
            async for line in lines(self._replies):
                self._take(*json.loads(line))
        finally:
            for sender in self._waiting.values():
                sender.close()

    def _take(self, key: int | str, value: object) -> None:
        if key == "started":
            self.on_call_started(str(value))
        elif key == "ended":
            self.on_call_ended(str(value))
        elif isinstance(key, int) and (sender := self._waiting.get(key)) is not None:
            sender.send_nowait(load_reply(json.dumps(value).encode()))
