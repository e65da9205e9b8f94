"""Peers on this machine, over Unix datagram sockets: a file is a port.

ICE knows hosts and ports only, so the file ``40000.sock`` is called 127.0.0.1:40000.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path

import attrs

from sft import hookimpl
from sft.model import Address, Drop
from sft.plugin import (
    Config,
    Finding,
    PortPool,
    Receive,
    Services,
    TransportFactory,
    TransportStats,
    host_candidate,
    parse_ports,
)

HOST = "127.0.0.1"
MAX_DATAGRAM = 2048
DRAIN = 16
"""Datagrams read per wake-up: others wait."""


@attrs.frozen
class UnixConfig:
    """Unix datagram sockets.

    folder: where the sockets are
    ports: their numbers, one per participant; workers share them evenly
    """

    folder: str = "/run/sft"
    ports: str = "40000-40099"


class UnixTransport:
    """One participant's socket. With only one, it is transport and base at once."""

    def __init__(self, bound: socket.socket, port: int, receive: Receive, factory: UnixFactory) -> None:
        self.candidates = [host_candidate(HOST, port, 0, protocol="unix")]
        self.port = port
        self.fd: int | None = None  # an engine could not address our datagrams by itself
        self._socket = bound
        self._receive = receive
        self._factory = factory
        self._closed = False
        factory.services.watch(bound.fileno(), self.on_readable)

    def send(self, data: bytes, address: Address) -> None:
        """``OSError``: nobody is there, or does not read."""
        self._socket.sendto(data, str(self._factory.file(address[1])))

    def on_readable(self, now: float) -> None:
        """Hand up what waits, at most ``DRAIN`` datagrams."""
        for _ in range(DRAIN):
            try:
                data, name = self._socket.recvfrom(MAX_DATAGRAM + 1)
            except BlockingIOError:
                return
            sender = self._factory.port_untrusted(name)
            if len(data) > MAX_DATAGRAM:
                self._factory.services.drops.count(Drop.TOO_LARGE)
            elif sender is None:
                self._factory.services.drops.count(Drop.NO_PEER)
            else:
                self._receive(self, data, (HOST, sender), now)
            if self._closed:  # by what it just received
                return

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._factory.services.unwatch(self._socket.fileno())
        self._socket.close()
        self._factory.take_back(self)


class UnixFactory:
    """A worker's part of the folder."""

    name = "unix"

    def __init__(self, config: UnixConfig, services: Services) -> None:
        self.services = services
        self._folder = Path(config.folder)
        ports = parse_ports(config.ports)
        first, last = (len(ports) * n // services.workers for n in (services.worker, services.worker + 1))
        self._pool = PortPool(ports[first:last], "Unix", [config.folder])
        self._open: set[UnixTransport] = set()

    def open(self, receive: Receive) -> UnixTransport:
        port, bound = self._pool.take(self._bind)
        transport = UnixTransport(bound, port, receive, self)
        self._open.add(transport)
        return transport

    def take_back(self, transport: UnixTransport) -> None:
        self.file(transport.port).unlink(missing_ok=True)
        self._open.discard(transport)
        self._pool.give_back(transport.port)

    def file(self, port: int) -> Path:
        return self._folder / f"{port}.sock"

    def port_untrusted(self, name: object) -> int | None:
        """The number of a sender's file; None: it has no such file to answer to. A socket may be bound to any
        name, to an abstract one, which are bytes, or to none."""
        number = re.search(r"/([1-9]\d{0,4})\.sock$", name) if isinstance(name, str) else None
        return int(number[1]) if number and name == str(self.file(int(number[1]))) else None

    def stats(self) -> TransportStats:
        return TransportStats(ports_total=len(self._pool.ports), ports_free=len(self._pool.free))

    def check(self) -> list[Finding]:
        there = self._folder.is_dir()
        return [Finding(there, "folder", f"{self._folder}{'' if there else ' is missing'}")]

    def close(self) -> None:
        for transport in list(self._open):
            transport.close()

    def _bind(self, port: int) -> socket.socket:
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            bound.bind(str(self.file(port)))
        except BaseException:
            bound.close()
            raise
        return bound


@hookimpl
def sft_config_table() -> type[UnixConfig]:
    return UnixConfig


@hookimpl
def sft_transports(config: Config, services: Services) -> list[TransportFactory]:
    return [UnixFactory(config.table(UnixConfig), services)]
