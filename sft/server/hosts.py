"""Whom a request was meant for: what keeps a web page of somebody else from reading the operators' listener.

A page may give its own name the address of this machine (DNS rebinding); then the browser of an operator
takes the listener for the page's own server. The Host that it sends is that name (RFC 9110 section 7.2). An
address cannot be given away like that, and browsers resolve ``localhost`` by themselves.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Set

import structlog
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOGGED_NAMES = 10


class KnownHosts:
    """ASGI middleware: requests for a name that is not ours get 421. The first few such names are logged."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app = app
        self._names = frozenset(map(str.lower, names))
        self._logged: set[str] = set()
        self._log = structlog.get_logger("operator")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] in ("http", "websocket"):
            hosts = Headers(scope=scope).getlist("host")
            unknown = [host for host in hosts if not is_known(host, self._names)]
            if unknown:
                self._tell(unknown[0][:100])
                app = PlainTextResponse(
                    "add this name to server.operator_hosts, or use the IP address\n", 421
                )
        await app(scope, receive, send)

    def _tell(self, host: str) -> None:
        if host not in self._logged and len(self._logged) < LOGGED_NAMES:
            self._logged.add(host)
            self._log.warning("unknown_host", host=host)


def is_known(host: str, names: Set[str]) -> bool:
    """Whether a Host names an IP address, ``localhost`` or one of ``names``; its port does not matter."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    name = name.removesuffix(".").lower()
    return name == "localhost" or name in names or "*" in names or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
