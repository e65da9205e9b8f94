"""A worker in another process: the same request and reply values, a line of JSON each.

To the worker: ``[number, request]``, or ``[number, "snapshot"]``. From it: first an empty line that says
"ready"; then ``[number, reply]`` (null: it failed), and unasked ``["started" | "ended", call]`` and
``["join", record]``. One request may be answered before an earlier one.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import attrs
import cattrs
import trio
from trio.abc import ReceiveStream, SendStream

from sft.calls.requests import Reply, Request, dump_reply, dump_request, load_reply, load_request
from sft.errors import LocalError
from sft.model import JoinRecord
from sft.plugin.values import Snapshot
from sft.server.worker import Worker

MAX_LINE = 1 << 24
"""Bytes; a snapshot has some hundred for each participant."""

READY = b"\n"
SNAPSHOT = "snapshot"


async def lines(stream: ReceiveStream) -> AsyncIterator[bytes]:
    """The lines of a stream, without their ends."""
    buffer = bytearray()
    async for chunk in stream:
        searched = len(buffer)
        buffer += chunk
        while (end := buffer.find(b"\n", searched)) >= 0:
            yield bytes(buffer[:end])
            del buffer[: end + 1]
            searched = 0
        if len(buffer) > MAX_LINE:
            raise LocalError("a line of the worker pipe is too long")


async def serve_worker(worker: Worker, requests: ReceiveStream, replies: SendStream) -> None:
    """The worker's end: answer until the gateway closes its end, or dies with answers of ours unread."""
    outbox, inbox = trio.open_memory_channel[bytes](math.inf)
    worker.observer.on_call_started = lambda call: outbox.send_nowait(json.dumps(["started", call]).encode())
    worker.observer.on_call_ended = lambda call: outbox.send_nowait(json.dumps(["ended", call]).encode())

    worker.observer.on_join_ended = lambda join: outbox.send_nowait(
        json.dumps(["join", cattrs.unstructure(join)]).encode()
    )

    async def answer(number: int, request: Any) -> None:
        reply: Any = None
        try:
            if request == SNAPSHOT:
                reply = cattrs.unstructure(await worker.snapshot())
            else:
                value = load_request(json.dumps(request).encode())
                reply = json.loads(dump_reply(await worker.handle(value)))
        except Exception as error:  # a bug, ours or a plugin's, costs this request and not all calls
            worker.internal_error(error)
        await outbox.send(json.dumps([number, reply]).encode())

    async def write() -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await replies.send_all(READY)
            async for line in inbox:
                await replies.send_all(line + b"\n")
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        with contextlib.suppress(trio.BrokenResourceError):
            async for line in lines(requests):
                nursery.start_soon(answer, *json.loads(line))
        nursery.cancel_scope.cancel()


@attrs.frozen
class _Question:
    line: bytes
    answer: trio.MemorySendChannel[Any]


class PipeWorker:
    """The gateway's end; has the methods of a worker that the gateway calls."""

    def __init__(self, index: int, requests: SendStream, replies: ReceiveStream) -> None:
        self.index = index
        self._requests = requests
        self._replies = replies
        self._number = 0
        self._asked, self._to_send = trio.open_memory_channel[int](math.inf)
        self._waiting: dict[int, _Question] = {}
        self.on_call_started: Callable[[str], None] = lambda call: None
        self.on_call_ended: Callable[[str], None] = lambda call: None
        self.on_join_ended: Callable[[JoinRecord], None] = lambda join: None

    async def handle(self, request: Request) -> Reply:
        """Ask the worker; ``LocalError`` when it failed, or went away before it answered."""
        return load_reply(json.dumps(await self._ask(json.loads(dump_request(request)))).encode())

    async def snapshot(self) -> Snapshot:
        """All its counters now; ``LocalError`` as above."""
        return cattrs.structure(await self._ask(SNAPSHOT), Snapshot)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send what is asked and read what the worker says until it goes away. What is asked before waits."""
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send)
                with contextlib.suppress(trio.BrokenResourceError):  # killed with something of ours unread
                    async for line in lines(self._replies):
                        self._take(*json.loads(line))
                nursery.cancel_scope.cancel()
        finally:
            self._to_send.close()
            for question in self._waiting.values():
                question.answer.close()

    async def _send(self) -> None:
        """A task of its own: who gives up waiting leaves no half line, which would spoil all that follow. A
        question that nobody waits for any more is not sent."""
        with contextlib.suppress(trio.BrokenResourceError):  # whoever reads the replies finds out too
            async for number in self._to_send:
                if (question := self._waiting.get(number)) is not None:
                    await self._requests.send_all(question.line)

    async def _ask(self, request: object) -> Any:
        self._number += 1
        number = self._number
        sender, receiver = trio.open_memory_channel[Any](1)
        line = json.dumps([number, request]).encode() + b"\n"
        self._waiting[number] = _Question(line, sender)
        try:
            self._asked.send_nowait(number)
            reply = await receiver.receive()
        except (trio.EndOfChannel, trio.BrokenResourceError):
            raise LocalError("the worker went away") from None
        finally:
            self._waiting.pop(number, None)
        if reply is None:
            raise LocalError("the worker failed")
        return reply

    def _take(self, key: int | str, value: object) -> None:
        if key == "started":
            self.on_call_started(str(value))
        elif key == "ended":
            self.on_call_ended(str(value))
        elif key == "join":
            self.on_join_ended(cattrs.structure(value, JoinRecord))
        elif isinstance(key, int) and (question := self._waiting.get(key)) is not None:
            question.answer.send_nowait(value)
