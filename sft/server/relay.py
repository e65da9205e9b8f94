"""Relayed addresses for joins: asks the STUN and TURN servers of ``[relay]`` and of clients."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import time

import attrs
import structlog
import trio

from sft.calls.requests import Connect
from sft.calls.timers import TimerHeap
from sft.config import Config, IceUrl
from sft.errors import ConfigError
from sft.model import Address, Drops
from sft.server.pump import Pump
from sft.server.relay_links import Link, UdpLink, open_stream_link
from sft.server.relay_transport import RelayTransport, only_usable
from sft.webrtc.stun_client import StunClient
from sft.webrtc.turn import TurnClient
from sft.webrtc.turn_credentials import turn_credentials

MAX_SERVERS = 4
"""Servers asked for one join."""

REST = 30.0
"""Seconds for which a server that did not answer is left alone while there are others."""

CREDENTIAL_SECONDS = 86400

_MISMATCH, _TRY_ALTERNATE = 437, 300


@attrs.frozen
class RelayServer:
    """One server and how to log in. ``public_only``: a client named it, so it must not lead elsewhere."""

    url: IceUrl
    username: str = ""
    password: str = attrs.field(default="", repr=False)
    public_only: bool = False


class Relays:
    """One per worker."""

    def __init__(self, config: Config, pump: Pump, timers: TimerHeap, drops: Drops) -> None:
        self._table = config.relay
        self._pump = pump
        self._timers = timers
        self._drops = drops
        self._log = structlog.get_logger("relay")
        self._urls = [IceUrl.parse(url) for url in config.relay.servers]
        self._secret = (
            config.secret("relay.secret_file", config.relay.secret_file) if config.relay.secret_file else ""
        )
        self._tls = _tls_context(config)
        self._resting: dict[IceUrl, float] = {}
        self.open_now = 0
        """Transports that have not been closed."""

    def servers_for(self, request: Connect) -> list[RelayServer]:
        """Our own first, then the client's if they may be used."""
        username, password = self._table.username, self._table.password
        if self._secret:
            expires = int(time.time()) + CREDENTIAL_SECONDS
            username, password = turn_credentials(self._secret, expires, username)
        servers = [RelayServer(url, username, password) for url in self._awake()]
        if self._table.from_clients != "no":
            public_only = self._table.from_clients == "public"
            for named in request.ice_servers:
                try:
                    url = IceUrl.parse(named.url)
                except ValueError:
                    continue
                servers.append(RelayServer(url, named.username, named.credential, public_only))
        return servers[:MAX_SERVERS]

    async def open(self, request: Connect) -> list[RelayTransport]:
        """What the servers give within ``wait_seconds``; the caller closes it."""
        opened: list[RelayTransport] = []
        answered: set[IceUrl] = set()
        servers = self.servers_for(request)
        try:
            with trio.move_on_after(self._table.wait_seconds):
                async with trio.open_nursery() as nursery:
                    for rank, server in enumerate(servers):
                        nursery.start_soon(self._open_one, server, rank, opened, answered)
        except BaseException:
            for transport in opened:
                transport.close()
            raise
        for server in servers:
            if server.url not in answered:
                if server.url in self._urls:
                    self._resting[server.url] = trio.current_time() + REST
                self._log.warning("relay_unavailable", server=str(server.url), reason="no answer")
        usable = only_usable(opened)
        host = _ip(request.address)
        for transport in usable:
            if host is not None and any((":" in one.host) == (":" in host) for one in transport.candidates):
                transport.permit(host)  # behind a NAT and without a STUN server it names no candidate of use
        return usable

    def _awake(self) -> list[IceUrl]:
        """The servers that answer; all, when none does."""
        now = trio.current_time()
        awake = [url for url in self._urls if self._resting.get(url, 0.0) <= now]
        return awake or self._urls

    async def _open_one(
        self, server: RelayServer, rank: int, opened: list[RelayTransport], answered: set[IceUrl]
    ) -> None:
        """Follows one redirection, and asks again once from another port."""
        url = server.url
        for _ in range(2):
            try:
                transport = await self._connect(attrs.evolve(server, url=url), rank)
            except (OSError, UnicodeError, ssl.CertificateError) as error:  # UnicodeError: no host's name
                answered.add(server.url)
                self._log.warning("relay_unavailable", server=str(url), reason=str(error))
                return
            opened.append(transport)
            await transport.gathered()
            answered.add(server.url)
            failure = transport.failed
            if failure is None:
                return
            self._log.warning("relay_unavailable", server=str(url), reason=failure.reason, code=failure.code)
            if failure.code == _TRY_ALTERNATE and failure.alternate is not None and url.link != "tls":
                url = attrs.evolve(url, host=failure.alternate[0], port=failure.alternate[1])
            elif failure.code != _MISMATCH:
                return

    async def _connect(self, server: RelayServer, rank: int) -> RelayTransport:
        url = server.url
        family, address = await _resolve(url, public_only=server.public_only)
        link: Link
        if url.link == "udp":
            link = UdpLink(address, family, self._pump)
        else:
            tls = self._tls if url.link == "tls" else None
            link = await open_stream_link(address, family, tls, url.host, self._pump, self._timers)
        client: TurnClient | StunClient
        if url.kind == "stun":
            client = StunClient(os.urandom)
        else:
            client = TurnClient(
                server.username,
                server.password,
                os.urandom,
                stream=link.is_stream,
                ipv6=family == socket.AF_INET6,
            )
        transport = RelayTransport(link, client, self._timers, self._drops, rank)
        self.open_now += 1
        transport.on_close = self._closed
        return transport

    def _closed(self) -> None:
        self.open_now -= 1


async def _resolve(url: IceUrl, *, public_only: bool) -> tuple[socket.AddressFamily, Address]:
    kind = socket.SOCK_DGRAM if url.link == "udp" else socket.SOCK_STREAM
    for family, _, _, _, address in await trio.socket.getaddrinfo(url.host, url.port, type=kind):
        host, port = address[:2]
        if not isinstance(host, str) or not isinstance(port, int):
            continue  # a Python without IPv6
        if not public_only or ipaddress.ip_address(host).is_global:
            return family, (host, port)
    raise OSError("not at a public address")


def _tls_context(config: Config) -> ssl.SSLContext:
    file = config.relay.ca_file
    try:
        return ssl.create_default_context(cafile=str(config.path(file)) if file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"{config.file or 'configuration'}: relay.ca_file: {file} cannot be used: {error}"
        ) from error


def _ip(text: str) -> str | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
