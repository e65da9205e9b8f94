"""The processes of a load, seen from the one that the operator has started."""

from __future__ import annotations

import multiprocessing
import traceback
from multiprocessing.connection import Connection
from types import TracebackType

from sft_load import process
from sft_load.crew import Crew, Settings
from sft_load.errors import LoadError
from sft_load.figures import Sample
from sft_load.window import Moment, Usage

REPLY_SECONDS = 30.0


class Crews:
    """One child process each. ``server_pid``: the server's process, if it runs on this machine."""

    def __init__(self, settings: Settings, server_pid: int | None = None) -> None:
        self.plan = settings.plan
        self._server_pid = server_pid
        self._pipes: list[Connection] = []
        self._processes: list[multiprocessing.process.BaseProcess] = []
        context = multiprocessing.get_context("spawn")
        for index in range(settings.processes):
            ours, theirs = context.Pipe()
            child = context.Process(target=_run, args=(theirs, settings, index), daemon=True)
            child.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(child)
        for pipe in self._pipes:
            _receive(pipe)  # it is up

    def __enter__(self) -> Crews:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pipe in self._pipes:
            try:
                pipe.send(None)
            except OSError:
                pass  # it is gone already
        for child in self._processes:
            child.join(10)
            child.kill()

    def resize(self, total: int) -> None:
        """So many seats in all."""
        for pipe in self._pipes:
            pipe.send(total)

    def moment(self) -> Moment:
        """What all have counted until now."""
        for pipe in self._pipes:
            pipe.send("sample")
        samples = [_receive(pipe) for pipe in self._pipes]
        usage = None if self._server_pid is None else measure(self._server_pid)
        return Moment(tuple(sample for sample in samples if sample is not None), usage)


def measure(pid: int) -> Usage:
    """The server's processes. LoadError: there is none, or its descriptors are none of our business."""
    try:
        pids = process.family(pid)
        return Usage(
            cpu=sum(map(process.cpu, pids)),
            memory=sum(map(process.memory, pids)),
            descriptors=sum(map(process.descriptors, pids)),
            busy=process.busy(),
        )
    except OSError as error:
        raise LoadError(f"process {pid} of the server: {error.strerror}") from error


def _receive(pipe: Connection) -> Sample | None:
    """LoadError: the process has failed."""
    try:
        if not pipe.poll(REPLY_SECONDS):
            raise LoadError(f"a process of sft-load does not answer within {REPLY_SECONDS:.0f} s")
        reply = pipe.recv()
    except EOFError:
        raise LoadError("a process of sft-load has died") from None
    if isinstance(reply, str):
        raise LoadError(f"a process of sft-load has failed:\n{reply}")
    if reply is not None and not isinstance(reply, Sample):
        raise TypeError(reply)
    return reply


def _run(pipe: Connection, settings: Settings, index: int) -> None:
    """The child: None ends it, a number is a new size, anything else asks for a sample."""
    try:
        crew = Crew(settings, index)
        pipe.send(None)
        while True:
            while pipe.poll():
                match pipe.recv():
                    case None:
                        crew.close()
                        return
                    case int(total):
                        crew.resize(total)
                    case _:
                        pipe.send(crew.sample())
            crew.turn()
    except (EOFError, KeyboardInterrupt):
        pass  # the parent is gone, or going
    except Exception:
        pipe.send(traceback.format_exc())
