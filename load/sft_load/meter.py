"""Who used the CPU meanwhile: the server, the clients, and everybody else on the machine."""

from __future__ import annotations

import time

from sft_load import process

FULL = 0.85
"""Share of a core from which a process is taken to be short of CPU."""

QUIET = 0.25
"""Cores that other programs may use before figures of this machine mean little."""


class Meter:
    """Runs from its making to :meth:`stop`. ``server``: the server's process id; None: it is elsewhere, and
    counts as using nothing. LoadError: it is gone."""

    def __init__(self, server: int | None) -> None:
        self._pid = server
        self._begin = self._read()
        self.seconds = self.server = self.clients = self.others = 0.0
        """Seconds of the clock, and of CPU."""

    def stop(self) -> Meter:
        began, ended = self._begin, self._read()
        self.seconds, self.server, self.clients, busy = (
            after - before for before, after in zip(began, ended, strict=True)
        )
        if self._pid is not None:
            self.others = max(0.0, busy - self.server - self.clients)
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Cores that each used on average."""
        return {
            "server_cpu_share": self.server / self.seconds,
            "client_cpu_share": self.clients / self.seconds,
            "others_cpu_share": self.others / self.seconds,
        }

    @property
    def objection(self) -> str | None:
        """Why what was measured proves nothing, if so."""
        return objection(self.clients / self.seconds, self.others / self.seconds)

    def _read(self) -> tuple[float, float, float, float]:
        server = 0.0 if self._pid is None else process.total(self._pid, process.cpu)[0]
        return time.monotonic(), server, time.process_time(), process.busy()


def objection(client_share: float, others_share: float) -> str | None:
    """Why a run proves nothing, if so."""
    if others_share > QUIET:
        return f"none: other programs used {others_share:.2f} cores"
    if client_share > FULL:
        return f"none: the clients used {client_share:.0%} of a core"
    return None
