"""The handle of one running ``impair``: see :mod:`support.impair`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

TESTS = Path(__file__).parents[1]


class BadLink:
    """A link between two devices, perfect at first::

        link.set(up={"loss": 0.05}, down={"loss": 0.05, "delay": 0.1})
        counts = link.set()

    Made by :meth:`support.lab.Lab.connect_badly`, which gives the devices addresses and routes.
    """

    def __init__(self, inner: str, outer: str, seed: str) -> None:
        """``inner``, ``outer``: ``NAMESPACE:DEVICE``, the devices it makes; up is from inner to outer."""
        command = [sys.executable, "-m", "support.impair", seed, inner, outer]
        self._process = subprocess.Popen(
            command, cwd=TESTS, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._read()  # the devices are there

    def set(self, *, up: Json | None = None, down: Json | None = None) -> Json:
        """Change some conditions of a direction, by the names of :class:`support.impair.Conditions`; the
        others stay. Gives ``{"up": counts, "down": counts}`` since the last call."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"up": up or {}, "down": down or {}}) + "\n")
        self._process.stdin.flush()
        return self._read()

    def set_both(self, **conditions: object) -> Json:
        """The same for both directions."""
        return self.set(up=conditions, down=conditions)

    def _read(self) -> Json:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "impair has ended"
        counts: Json = json.loads(line)
        return counts

    @property
    def cpu_seconds(self) -> float:
        """What it has used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End it; its devices vanish."""
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
