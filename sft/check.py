"""What ``sft-serve check`` looks at before an operator starts an instance."""

from __future__ import annotations

import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Literal, NoReturn

from sft.config import Config, IceUrl, split_listener
from sft.errors import ConfigError, LocalError, SftError
from sft.model import Drops
from sft.plugin.interfaces import Finding, Receive
from sft.plugin.manager import PluginManager

DESCRIPTORS_BESIDES = 256
"""File descriptors a worker needs besides those of its participants: HTTP, epoll, log, libraries."""


class CheckServices:
    """A worker's services where no worker runs: they know its index and can log, nothing else.

    Implements :class:`sft.plugin.interfaces.Services`.
    """

    role: Literal["worker"] = "worker"

    def __init__(self, worker: int, workers: int, findings: list[Finding]) -> None:
        self.worker = worker
        self.workers = workers
        self.drops = Drops()
        self._findings = findings

    def now(self) -> float:
        return time.monotonic()

    def log(self, event: str, **fields: object) -> None:
        self._find(True, event, fields)

    def warn(self, event: str, **fields: object) -> None:
        self._find(False, event, fields)

    def _find(self, ok: bool, event: str, fields: dict[str, object]) -> None:
        details = ", ".join(f"{name}={value}" for name, value in fields.items())
        self._findings.append(Finding(ok, event, details))

    def watch(
        self,
        fd: int,
        on_readable: Callable[[float], None],
        on_writable: Callable[[float], None] | None = None,
    ) -> None:
        _no_worker("watch")

    def want_write(self, fd: int, wanted: bool) -> None:
        _no_worker("want_write")

    def unwatch(self, fd: int) -> None:
        _no_worker("unwatch")

    def call_at(self, when: float, callback: Callable[[float], None]) -> object:
        _no_worker("call_at")

    def route_untrusted(self, first: bytes) -> Receive | None:
        _no_worker("route_untrusted")


def _no_worker(name: str) -> NoReturn:
    raise LocalError(f"services.{name} needs a running worker; use it in TransportFactory.open")


def findings(config: Config, manager: PluginManager) -> Iterator[Finding]:
    """All there is to say; ``config`` has its plugins' tables read."""
    yield from _descriptors(config)
    yield from _listener("server.listen", config.server.listen)
    yield from _listener("server.operator_listen", config.server.operator_listen)
    if config.server.certificate:
        yield _certificate(config)
    yield from _relays(config)
    yield from _hooks(manager)
    yield from _transports(config, manager)


def _descriptors(config: Config) -> Iterator[Finding]:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    needed = config.limits.participants_per_worker + DESCRIPTORS_BESIDES
    yield Finding(
        limit == resource.RLIM_INFINITY or limit >= needed,
        "file descriptors",
        f"limit {limit}; limits.participants_per_worker = {config.limits.participants_per_worker} "
        f"needs {needed}",
    )


def _listener(key: str, listener: str) -> Iterator[Finding]:
    host, port = split_listener(listener)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            yield Finding(False, key, f"{listener}: {error.strerror}")
        else:
            yield Finding(True, key, f"{listener} is free")


def _certificate(config: Config) -> Finding:
    from cryptography import x509

    certificate, key = config.path(config.server.certificate), config.path(config.server.key)
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certificate, key)
        expires = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except ssl.SSLError as error:
        return Finding(False, "server.certificate", f"{certificate} with {key}: {error.reason or error}")
    except (OSError, ValueError) as error:
        return Finding(False, "server.certificate", f"{certificate} with {key}: {error}")
    return Finding(
        expires > datetime.now(UTC), "server.certificate", f"{certificate}: valid until {expires:%Y-%m-%d}"
    )


def _relays(config: Config) -> Iterator[Finding]:
    for key, file in (
        ("relay.secret_file", config.relay.secret_file),
        ("turn.secret_file", config.turn.secret_file),
    ):
        if file:
            try:
                config.secret(key, file)
                yield Finding(True, key, file)
            except ConfigError as error:
                yield Finding(False, key, str(error))
    for text in config.relay.servers:
        url = IceUrl.parse(text)
        try:
            found = socket.getaddrinfo(url.host, url.port)
            yield Finding(True, "relay.servers", f"{url} is at {found[0][4][0]}")
        except OSError as error:
            yield Finding(False, "relay.servers", f"{url}: {error.strerror}")


def _hooks(manager: PluginManager) -> Iterator[Finding]:
    """The questions whose answer a start depends on."""
    try:
        yield Finding(True, "DTLS certificate", manager.dtls_identity().fingerprint)
        yield Finding(True, "SRTP profiles", ", ".join(manager.srtp_profiles()))
    except SftError as error:
        yield Finding(False, "plugins", str(error))


def _transports(config: Config, manager: PluginManager) -> Iterator[Finding]:
    """As each worker would open them."""
    workers = config.server.workers
    for worker in range(workers):
        of = f"worker {worker} " if workers > 1 else ""
        logged: list[Finding] = []
        try:
            factories = manager.transports(config, CheckServices(worker, workers, logged))
        except SftError as error:
            yield Finding(False, f"{of}transports", str(error))
            return
        if not factories:
            yield Finding(False, f"{of}transports", "no plugin gives one: pip install sft-transport-udp")
        for factory in factories:
            with closing(factory):
                stats = factory.stats()
                yield Finding(True, f"{of}{factory.name} ports", f"{stats.ports_total}, one per participant")
                for finding in factory.check():
                    yield Finding(finding.ok, f"{of}{factory.name} {finding.subject}", finding.detail)
        yield from logged
