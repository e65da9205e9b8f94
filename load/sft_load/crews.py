"""The processes of a load, seen from the one that the operator has started."""

from __future__ import annotations

import multiprocessing
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from types import TracebackType

from sft_load import process
from sft_load.crew import Crew, Settings
from sft_load.errors import OwnError
from sft_load.figures import Sample
from sft_load.window import Moment, Usage

REPLY_SECONDS = 30.0


@contextmanager
def _deaf() -> Iterator[None]:
    """What starts here does not hear of Ctrl-C, which a terminal tells all processes: it has to wait for the
    parent's word, to say goodbye to the server."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
            with _deaf():
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
            with suppress(OSError):  # it is gone already
                pipe.send(None)
        for child in self._processes:
            child.join(10)
            child.kill()

    def resize(self, total: int) -> None:
        """So many seats in all. OwnError: a process has failed."""
        for pipe in self._pipes:
            _tell(pipe, total)

    def moment(self) -> Moment:
        """What all have counted until now. OwnError: a process has failed. LoadError: the server's has."""
        for pipe in self._pipes:
            _tell(pipe, "sample")
        samples = [_receive(pipe) for pipe in self._pipes]
        usage = None if self._server_pid is None else measure(self._server_pid)
        return Moment(tuple(sample for sample in samples if sample is not None), usage)


def measure(pid: int) -> Usage:
    """The server's processes. LoadError: there is none, or its descriptors are none of our business."""
    cpu, memory, descriptors = process.total(pid, process.cpu, process.memory, process.descriptors)
    return Usage(cpu=cpu, memory=int(memory), descriptors=int(descriptors), busy=process.busy())


def _tell(pipe: Connection, what: int | str) -> None:
    try:
        pipe.send(what)
    except OSError:
        _receive(pipe)  # it is gone, and this says why


def _receive(pipe: Connection) -> Sample | None:
    """OwnError: the process has failed."""
    try:
        if not pipe.poll(REPLY_SECONDS):
            raise OwnError(f"a process of sft-load does not answer within {REPLY_SECONDS:.0f} s")
        reply = pipe.recv()
    except (EOFError, OSError):
        raise OwnError("a process of sft-load has died") from None
    if isinstance(reply, str):
        raise OwnError(f"a process of sft-load has failed:\n{reply}")
    if reply is not None and not isinstance(reply, Sample):
        raise TypeError(reply)
    return reply


def _run(pipe: Connection, settings: Settings, index: int) -> None:
    """The child."""
    try:
        crew = Crew(settings, index)
        pipe.send(None)
        while _obey(pipe, crew):
            crew.turn()
        crew.close()
    except Exception:
        with suppress(OSError):
            pipe.send(traceback.format_exc())


def _obey(pipe: Connection, crew: Crew) -> bool:
    """Do what the parent says: a number is a new size, a word asks for a sample. False: it has said None, or
    is gone."""
    try:
        while pipe.poll():
            order = pipe.recv()
            if order is None:
                return False
            if isinstance(order, int):
                crew.resize(order)
            else:
                pipe.send(crew.sample())
    except (EOFError, OSError):
        return False
    return True
