"""A real TURN server, coturn, on loopback.

::

    with running_coturn(tmp_path) as coturn:
        coturn.url("udp"), coturn.username, coturn.password
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import attrs
import pytest

from sft.dev_cert import write_certificate
from support.server import Within, free_tcp_ports, free_udp_range

REALM = "sft.test"
SECRET = "north"
START_SECONDS = 15


@attrs.frozen
class Coturn:
    host: str
    port: int
    tls_port: int
    username: str
    password: str
    certificate: Path
    relay_ports: range
    log: Path

    def url(self, link: str = "udp") -> str:
        """Of the server, for ``udp``, ``tcp`` or ``tls``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if link == "tls":
            return f"turns:{host}:{self.tls_port}"
        return f"turn:{host}:{self.port}?transport={link}"

    @property
    def log_text(self) -> str:
        return self.log.read_text(errors="replace")


def require_coturn() -> str:
    """The program; skips the test if there is none, except in continuous integration."""
    program = shutil.which("turnserver")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("turnserver is missing: apt-get install coturn")
        pytest.skip("turnserver is not installed")
    return program


@contextmanager
def running_coturn(
    folder: Path,
    *options: str,
    with_secret: bool = False,
    host: str = "127.0.0.1",
    within: Within = nullcontext,
) -> Iterator[Coturn]:
    """``with_secret``: takes credentials made with SECRET, not ``username`` and ``password``. ``within``: of
    a lab's host, whose address ``host`` then is."""
    program = require_coturn()
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = write_certificate(folder, [host])
    port, tls_port = free_tcp_ports(2)
    relay_ports = free_udp_range(60)
    first, last = map(int, relay_ports.split("-"))
    log = folder / "coturn.log"
    login = ["--use-auth-secret", f"--static-auth-secret={SECRET}"] if with_secret else ["--user=ann:pass"]
    command = [
        program,
        "-n",
        *login,
        "--lt-cred-mech",
        "--fingerprint",
        f"--realm={REALM}",
        f"--listening-ip={host}",
        f"--relay-ip={host}",
        f"--listening-port={port}",
        f"--tls-listening-port={tls_port}",
        f"--min-port={first}",
        f"--max-port={last}",
        f"--cert={certificate}",
        f"--pkey={key}",
        f"--pidfile={folder / 'pid'}",
        f"--userdb={folder / 'db'}",
        "--allow-loopback-peers",
        "--no-cli",
        "--no-dtls",
        "--relay-threads=1",
        "--log-file=stdout",
        "--simple-log",
        "--verbose",
        *options,
    ]
    with log.open("wb") as output, within():
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=folder
        )
    try:
        with within():
            _wait_until_listening(process, (host, port), log)
        yield Coturn(host, port, tls_port, "ann", "pass", certificate, range(first, last + 1), log)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _wait_until_listening(process: subprocess.Popen[bytes], address: tuple[str, int], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with socket.create_connection(address, timeout=1):
                return
        except OSError:
            pass  # not yet
        assert process.poll() is None, f"coturn did not start:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"coturn does not listen:\n{log.read_text()}"
        time.sleep(0.05)
