"""What processes use, from /proc (proc(5))."""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from sft_load.errors import LoadError

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SCHED = 2
"""Which of its clocks; the kernel names one by the process's number, inverted, and this in three bits."""

GONE = FileNotFoundError, ProcessLookupError
"""What reading of a process says that has ended."""


def cpu(pid: int) -> float:
    """Seconds of CPU: of all threads, also those that have ended, to the nanosecond, and to the tick of all
    children that have ended and that it has waited for. So the sum over a family does not fall when one of
    it ends."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # from the third field on
    try:
        own = time.clock_gettime(~pid << 3 | _SCHED)
    except OSError:
        raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from None  # it has ended meanwhile
    return own + (int(words[13]) + int(words[14])) / _TICK


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def descriptors(pid: int) -> int:
    """Open ones. PermissionError: somebody else's process."""
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except PermissionError:
        if memory(pid):
            raise
        return 0  # it has ended, and nobody has waited for it yet: then it is only root's


def family(pid: int) -> list[int]:
    """The process and all that descend from it: a server's workers may be processes of their own."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in _children(task):
            with contextlib.suppress(*GONE):  # it has ended meanwhile
                found += family(child)
    return found


def total(pid: int, *reads: Callable[[int], float]) -> list[float]:
    """The sum of each of these over the family. LoadError: the process is gone, or none of our business."""
    while True:
        try:
            pids = family(pid)
            return [sum(map(read, pids)) for read in reads]
        except OSError as error:
            if not (isinstance(error, GONE) and os.path.exists(f"/proc/{pid}")):
                raise LoadError(f"process {pid} of the server: {error.strerror}") from error
            # One that descends from it has ended meanwhile: its CPU is its parent's now, so read anew.


def _children(task: Path) -> list[int]:
    """Of a thread, which may have ended meanwhile."""
    try:
        return [int(word) for word in (task / "children").read_text().split()]
    except GONE:
        return []


def busy() -> float:
    """Seconds that all cores together were not idle, since the start of the machine."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = ticks[3], ticks[4]
    return (sum(ticks) - idle - waiting) / _TICK
