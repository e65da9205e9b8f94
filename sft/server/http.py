"""The two HTTP listeners: the clients' and the operator's (protocol sections 1.1 to 1.5)."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

import cattrs
import trio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from sft.config import Config, split_listener
from sft.errors import TransportError
from sft.server.gateway import Gateway
from sft.server.gateway import Response as Answer
from sft.server.hosts import KnownHosts
from sft.server.listener import ListenerConfig

BACKLOG = 1024

TAKING_MILLISECONDS = 5000


class BodyTooLarge(Exception):
    """The request's body is longer than allowed."""


def public_app(config: Config, gateway: Gateway, routes: Sequence[BaseRoute]) -> Starlette:
    """The clients' listener: ``/sft/...``, ``/ice/...`` and what plugins add."""
    proxies = tuple(ipaddress.ip_network(network) for network in config.server.trusted_proxies)

    async def read(request: Request) -> bytes | Response:
        try:
            with trio.fail_after(config.limits.body_seconds):
                return await _read_body(request, config.limits.body_bytes)
        except BodyTooLarge:
            gateway.outcomes["body_too_large"] += 1
            return _closing("the body is too long", 413)
        except trio.TooSlowError:
            gateway.outcomes["body_too_slow"] += 1
            return _closing("the body came too slowly", 408)
        except ClientDisconnect:
            gateway.outcomes["client_gone"] += 1
            return _closing("nobody reads this", 400)

    async def post(request: Request) -> Response:
        body = await read(request)
        if isinstance(body, Response):
            return body
        call, address = request.path_params["call"], client_address(request, proxies)
        traceparent = request.headers.get("traceparent", "")
        return _to_http(await gateway.post(call, body, address, traceparent))

    async def ice(request: Request) -> Response:
        body = await read(request)
        if isinstance(body, Response):
            return body
        call, address = request.path_params["call"], client_address(request, proxies)
        response = _to_http(gateway.ice(call, body, address))
        response.headers["cache-control"] = "no-store"
        return response

    async def status(request: Request) -> Response:
        loads = await gateway.loads()
        return PlainTextResponse(
            f"{gateway.state.value} calls={sum(load.calls for load in loads)} "
            f"participants={sum(load.participants for load in loads)}\n"
        )

    async def url(request: Request) -> Response:
        return PlainTextResponse(config.server.announced_url + "\r\n")

    own = [
        Route("/sft/status", status),
        Route("/sft/url", url),
        Route("/sft/{call:str}", post, methods=["POST"]),
        Route("/ice/{call:str}", ice, methods=["POST"]),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=list(config.server.cors_origins),
        allow_methods=["GET", "POST"],
        allow_headers=["*"],
    )
    return Starlette(routes=[*own, *routes], middleware=[cors], exception_handlers=_handlers(gateway))


def operator_app(config: Config, gateway: Gateway, routes: Sequence[BaseRoute]) -> Starlette:
    """The operator's listener: ``/health``, ``/snapshot`` and what plugins add."""

    async def health(request: Request) -> Response:
        return PlainTextResponse(gateway.state.value + "\n")

    async def numbers(request: Request) -> Response:
        workers = [cattrs.unstructure(snapshot) for snapshot in await gateway.snapshots()]
        return JSONResponse({"outcomes": dict(gateway.outcomes), "workers": workers})

    own = [Route("/health", health), Route("/snapshot", numbers)]
    hosts = Middleware(KnownHosts, names=config.server.operator_hosts)
    return Starlette(routes=[*own, *routes], middleware=[hosts], exception_handlers=_handlers(gateway))


def _handlers(gateway: Gateway) -> dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]]:
    """A bug, ours or a plugin's, costs this request."""

    async def handle(request: Request, error: Exception) -> Response:
        gateway.internal_error(error, request.url.path)
        return PlainTextResponse("internal error\n", 500)

    return {Exception: handle}


def open_listener(listen: str) -> socket.socket:
    """A listening socket, for IPv4 as well at ``[::]``; ``TransportError`` says why there can be none."""
    host, port = split_listener(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server(
            (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::"
        )
    except OSError as error:
        raise TransportError(f"cannot listen on {listen}: {error.strerror}") from error
    # Of each connection: who takes nothing of an answer must not hold up the end of the instance.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKING_MILLISECONDS)
    return listener


def hypercorn_config(
    listener: socket.socket, header_seconds: float, certificate: str = "", key: str = ""
) -> ListenerConfig:
    """A listener of ours; ``ConfigError``: its certificate cannot be used. hypercorn's keep-alive timeout
    runs from the opening of a connection to the end of a request's headers, so it also is the deadline for
    slow headers."""
    config = ListenerConfig(listener, certificate, key)
    config.keep_alive_timeout = header_seconds
    config.ssl_handshake_timeout = header_seconds
    config.graceful_timeout = 1.0
    config.h11_max_incomplete_size = 16 * 1024
    config.include_server_header = False
    config.accesslog = None
    config.errorlog = None
    return config


Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


def client_address(request: Request, proxies: Networks) -> str:
    """The client's address: the connection's, or, from a trusted proxy, the last address in
    X-Forwarded-For that is not a trusted proxy itself."""
    address = _plain(request.client.host if request.client else "")
    forwarded = [
        part.strip() for part in request.headers.get("x-forwarded-for", "").split(",") if part.strip()
    ]
    while forwarded and _is_in(address, proxies):
        address = _plain(forwarded.pop())
    return address


def _plain(address: str) -> str:
    """A listener for both families calls IPv4 clients ``::ffff:192.0.2.1`` (RFC 4291 section 2.5.5.2)."""
    try:
        mapped = ipaddress.IPv6Address(address).ipv4_mapped
    except ValueError:
        return address
    return address if mapped is None else str(mapped)


def _is_in(address: str, networks: Networks) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)


async def _read_body(request: Request, limit: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge
    return bytes(body)


def _to_http(answer: Answer) -> Response:
    headers = {} if answer.retry_after is None else {"retry-after": str(answer.retry_after)}
    kind = "application/json" if answer.json else "text/plain"
    return Response(answer.body, answer.status, headers, media_type=kind)


def _closing(text: str, status: int) -> Response:
    """The rest of the body is not read, so the connection cannot be used again."""
    return PlainTextResponse(text + "\n", status, {"connection": "close"})
