"""The real server in a process of its own, on free ports of loopback.

::

    with running_server(tmp_path, timers={"silence_seconds": 2}) as server:
        server.get("/sft/status")

Leaving the block stops it with SIGINT and asserts that it ended well and without internal errors.
Everything here is synchronous and short; in trio use ``trio.to_thread.run_sync`` for the start.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from support.factories import find_ports

Json: TypeAlias = dict[str, Any]
Within: TypeAlias = Callable[[], AbstractContextManager[None]]
"""Where processes start and sockets are opened: here, or on a host of a lab (``host.entered``)."""

START_SECONDS = 20
STOP_SECONDS = 10
PORTS = 200
LOOPBACK: Json = {"addresses": [{"bind": "127.0.0.1"}]}
TROUBLE = ("internal_error", "worker_failed", "Traceback", "plugin_fault")


@attrs.frozen
class HttpReply:
    status: int
    headers: http.client.HTTPMessage = attrs.field(repr=False)
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Server:
    """One running ``sft-serve``. ``within``: where it runs, and where it is asked from."""

    def __init__(self, folder: Path, config: Json, within: Within = nullcontext) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.config = config
        self._within = within
        scheme = "https" if config["server"].get("certificate") else "http"
        self.url = f"{scheme}://{config['server']['listen']}"
        self.page_url = self.url
        """Where clients find it; behind a NAT that is not where it listens."""
        self.operator_url = f"http://{config['server']['operator_listen']}"
        self._log = folder / "server.log"
        config_file = folder / "sft.toml"
        config_file.write_text(to_toml(config))
        command = [str(Path(sys.executable).with_name("sft-serve")), "run", "--config", str(config_file)]
        with self._log.open("wb") as log, within():
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log_text(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def log(self) -> list[Json]:
        """The structured lines of the log."""
        return [json.loads(line) for line in self.log_text.splitlines() if line.startswith("{")]

    def get(
        self, path: str, *, operator: bool = False, headers: Mapping[str, str] | None = None
    ) -> HttpReply:
        """``GET`` from the clients' listener or the operator's."""
        return self.request("GET", path, operator=operator, headers=headers)

    def post(self, path: str, body: bytes | str, headers: Mapping[str, str] | None = None) -> HttpReply:
        return self.request("POST", path, body, headers=headers)

    def post_json(self, path: str, body: Json) -> HttpReply:
        return self.post(path, json.dumps(body))

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        *,
        operator: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> HttpReply:
        scheme, netloc = urllib.parse.urlsplit(self.operator_url if operator else self.url)[:2]
        if scheme == "https":  # by a certificate of our own making
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(netloc, timeout=10, context=context)
        else:
            connection = http.client.HTTPConnection(netloc, timeout=10)
        try:
            with self._within():
                connection.connect()
            connection.request(method, path, body, dict(headers or {}))
            reply = connection.getresponse()
            return HttpReply(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        """A TCP connection to the clients' listener."""
        parts = urllib.parse.urlsplit(self.url)
        with self._within():
            return socket.create_connection((parts.hostname, parts.port), timeout=10)

    def snapshot(self) -> Json:
        """The operator's ``/snapshot``."""
        snapshot: Json = self.get("/snapshot", operator=True).json()
        return snapshot

    def worker(self) -> Json:
        """The snapshot of the first worker."""
        worker: Json = self.snapshot()["workers"][0]
        return worker

    def ports_free(self) -> int:
        """UDP ports that a join could get now."""
        free: int = self.worker()["transports"]["udp"]["ports_free"]
        return free

    def participants(self) -> int:
        """Everybody in all calls, joins under way included."""
        count: int = self.worker()["load"]["participants"]
        return count

    def drops(self) -> Json:
        """What went no further, by reason; reasons that never occurred are left out."""
        return {reason: count for reason, count in self.worker()["drops"].items() if count}

    def wait(self, happened: Callable[[Server], object], seconds: float = 10) -> None:
        """Ask until ``happened(self)``; AssertionError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not happened(self):
            assert time.monotonic() < deadline, f"did not happen within {seconds} s: {self.worker()}"
            time.sleep(0.02)

    def wait_until_listening(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if self.get("/sft/status").status == 200:
                    return
            except OSError:
                pass  # not yet
            assert self._process.poll() is None, f"the server did not start:\n{self.log_text}"
            assert time.monotonic() < deadline, f"the server does not listen:\n{self.log_text}"
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ended(self) -> bool:
        return self._process.poll() is not None

    def wait_for_end(self, seconds: float = STOP_SECONDS) -> int:
        """The exit code, once the process has ended."""
        return self._process.wait(seconds)

    def assert_ended_well(self) -> None:
        """The process ends now, with exit code 0 and a clean log."""
        try:
            code = self.wait_for_end()
        except subprocess.TimeoutExpired:
            code = -1
        assert code == 0, f"exit code {code} (-1: none within {STOP_SECONDS} s):\n{self.log_text}"
        assert not any(word in self.log_text for word in TROUBLE), self.log_text

    def kill(self) -> None:
        """End the process the hard way, if it still runs."""
        self._process.kill()
        self._process.wait()


@contextmanager
def running_server(
    folder: Path, *, ends: bool = False, within: Within = nullcontext, **tables: Json
) -> Iterator[Server]:
    """A server with the tests' config and these tables on top, e.g. ``limits={"body_bytes": 2048}`` or
    ``plugins={"transport_udp": {"ports": "40000-40002"}}``; None in place of a table leaves it out, as a
    plugin that is blocked has to. ``ends``: the test itself makes it end. ``within``: of a lab's host."""
    server = Server(folder, make_config(**tables), within)
    try:
        server.wait_until_listening()
        yield server
        if not ends:
            server.signal(signal.SIGINT)
        server.assert_ended_well()
    finally:
        server.kill()


def make_config(**tables: Json) -> Json:
    """Free ports of loopback, a log for machines, and limits that do not stand in the way of tests."""
    listen, operator_listen, media = free_tcp_ports(3)
    config: Json = {
        "server": {
            "listen": f"127.0.0.1:{listen}",
            "operator_listen": f"127.0.0.1:{operator_listen}",
            "url": f"http://127.0.0.1:{listen}",
        },
        "limits": {"joins_per_address_per_second": 1000.0, "joins_burst": 1000},
        "timers": {"roster_milliseconds": 20},
        "log": {"level": "debug", "format": "json"},
        "telemetry": {"snapshot_seconds": 0.2},
        "plugins": {
            "transport_udp": LOOPBACK | {"ports": free_udp_range(PORTS)},
            "transport_tcp": LOOPBACK | {"ports": str(media)},
        },
    }
    return merge(config, tables)


def room_for(count: int) -> Json:
    """The tables of plugins for a server that ``count`` participants fit into, by whatever transport."""
    return {"transport_udp": {"ports": free_udp_range(count)}, "transport_tcp": {"capacity": count}}


def merge(base: Json, changes: Json) -> Json:
    """``base`` with ``changes`` put over it, table by table; None takes away."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(value, dict) and isinstance(old, dict) else value
    return {key: value for key, value in merged.items() if value is not None}


def to_toml(config: Json, path: str = "") -> str:
    """TOML of tables, whose values are what JSON knows, null excepted."""
    lines = [f"{key} = {_to_value(value)}" for key, value in config.items() if not isinstance(value, dict)]
    text = (f"[{path}]\n" if path else "") + "".join(line + "\n" for line in lines)
    for key, value in config.items():
        if isinstance(value, dict):
            text += to_toml(value, f"{path}.{key}" if path else key)
    return text


def _to_value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_to_value(member)}" for key, member in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_to_value, value)) + "]"
    return json.dumps(value)


def ports_of_two_workers() -> Json:
    """The tables of plugins for a server with two workers, each of which has a TCP port of its own."""
    return {"transport_tcp": {"ports": _span(find_ports(socket.SOCK_STREAM, 2))}}


def free_tcp_ports(count: int) -> list[int]:
    """Ports of loopback that are free now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [socket.getsockname()[1] for socket in sockets]


def free_udp_range(count: int) -> str:
    """``first-last``: UDP ports of loopback that are all free now, below those the kernel gives out."""
    return _span(find_ports(socket.SOCK_DGRAM, count))


def _span(ports: range) -> str:
    return f"{ports[0]}-{ports[-1]}"
