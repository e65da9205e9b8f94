"""The server under test: ``sft-serve`` in a process of its own, on free ports of loopback."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from sft_load import process
from sft_load.http import Url, read_url

CONFIG = """\
[server]
listen = "127.0.0.1:{listen}"
operator_listen = "127.0.0.1:{operator}"

[limits]
header_seconds = 60.0
joins_per_address_per_second = 100000.0
joins_burst = 100000
pending_per_address = 100000
participants_per_call = 1000
participants_per_worker = 10000

[timers]
offer_seconds = 60.0
connect_seconds = 60.0

[log]
level = "warning"

[plugins]
modules = {modules}

[plugins.transport_udp]
ports = "{ports}"
shared = {shared}
segments = {segments}
addresses = [{{ bind = "127.0.0.1" }}]

[plugins.transport_tcp]
ports = "{tcp_port}"
addresses = [{{ bind = "127.0.0.1" }}]
"""
"""Limits that one client address would run into are out of the way; all else is as it comes."""

START_SECONDS = 20.0


class Server:
    """One running ``sft-serve``. ``profile``: a file to write a cProfile of what is measured to.
    ``shared``: all participants at one UDP port. ``modules``: plugins that are not installed as such."""

    def __init__(
        self,
        ports: int,
        profile: Path | None = None,
        modules: Sequence[str] = (),
        *,
        shared: bool = False,
        segments: bool = True,
    ) -> None:
        listen, operator = _free_tcp_port(), _free_tcp_port()
        self.address = "127.0.0.1", listen
        self._operator = "127.0.0.1", operator
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        config = folder / "sft.toml"
        values = {
            "listen": listen,
            "operator": operator,
            "modules": json.dumps(list(modules)),
            "ports": _free_udp_ports(ports),
            "shared": str(shared).lower(),
            "segments": str(segments).lower(),
            "tcp_port": _free_tcp_port(),
        }
        config.write_text(CONFIG.format(**values))
        self._log = folder / "log"
        program = [str(Path(sys.executable).with_name("sft-serve"))]
        if profile is not None:
            program = [sys.executable, str(Path(__file__).with_name("profiled.py")), str(profile)]
        self._profiled = profile is not None
        with self._log.open("wb") as log:
            command = [*program, "run", "--config", str(config)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def __enter__(self) -> Server:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self._get(self.address, "/sft/status")
                return self
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._end()
                    raise RuntimeError(f"the server did not start:\n{self.log}") from None
                time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        if error is None and self.log:
            print(self.log, file=sys.stderr)
        self._folder.cleanup()

    @property
    def url(self) -> Url:
        return read_url("http://{}:{}".format(*self.address))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        """Warnings and errors; empty if all was well."""
        return self._log.read_text(errors="replace")

    def cpu(self) -> float:
        """Seconds of CPU the process has used, all threads."""
        return process.cpu(self.pid)

    def toggle_profile(self) -> None:
        """Begin or end what is profiled, if anything is."""
        if self._profiled:
            self._process.send_signal(signal.SIGUSR1)

    def memory(self) -> int:
        """Resident bytes."""
        return process.memory(self.pid)

    def snapshot(self) -> dict[str, Any]:
        """The first worker's snapshot."""
        worker: dict[str, Any] = json.loads(self._get(self._operator, "/snapshot"))["workers"][0]
        return worker

    def drops(self) -> dict[str, int]:
        """What went no further, by reason; also what the kernel dropped before the server could read it."""
        snapshot = self.snapshot()
        drops = {reason: count for reason, count in snapshot["drops"].items() if count}
        kernel = sum(transport["kernel_drops"] for transport in snapshot["transports"].values())
        return drops | ({"kernel": kernel} if kernel else {})

    def _get(self, address: tuple[str, int], path: str) -> bytes:
        connection = http.client.HTTPConnection(*address, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()

    def _end(self) -> None:
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _free_tcp_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _free_udp_ports(count: int) -> str:
    """A range below the ports the kernel gives out, begun at random; ports in use are passed over."""
    first = random.randrange(10000, 32000 - 2 * count)
    return f"{first}-{first + 2 * count - 1}"
