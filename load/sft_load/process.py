"""What processes use, from /proc (proc(5))."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu(pid: int) -> float:
    """Seconds of CPU, all threads that live, from the scheduler's own count in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int(_words(task / "schedstat")[0]) for task in tasks) / 1e9


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def descriptors(pid: int) -> int:
    """Open ones. PermissionError: somebody else's process."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def family(pid: int) -> list[int]:
    """The process and all that descend from it: a server's workers may be processes of their own."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in _words(task / "children", gone=""):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                found += family(int(child))
    return found


def _words(path: Path, gone: str = "0") -> list[str]:
    """Of a file of a thread, which may have ended meanwhile."""
    try:
        return path.read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return gone.split()


def busy() -> float:
    """Seconds that all cores together were not idle, since the start of the machine."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = ticks[3], ticks[4]
    return (sum(ticks) - idle - waiting) / _TICK
