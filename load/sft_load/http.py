"""A client's HTTP connection that never blocks, so that many clients can join at once."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import urllib.parse
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol, TypeAlias

import attrs
import h11

from sft_load.errors import LoadError, explain

OnReply: TypeAlias = Callable[[int, bytes, float], None]
"""(status, body, now). Status 0: there was no reply, and the body says why."""

BOTH = select.EPOLLIN | select.EPOLLOUT


class Watcher(Protocol):
    """Who waits for descriptors: the fleet."""

    def watch(self, fd: int, on_ready: Callable[[float], None], events: int = select.EPOLLIN) -> None: ...

    def unwatch(self, fd: int) -> None: ...


@attrs.frozen
class Url:
    """Where a server is. ``path`` ends with a slash."""

    host: str
    port: int
    path: str = "/"
    tls: ssl.SSLContext | None = attrs.field(default=None, eq=False)
    insecure: bool = False
    """Any certificate is good."""

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


@lru_cache(maxsize=64)
def read_url(text: str, *, insecure: bool = False) -> Url:
    """``http://host:port/path``. LoadError: it is none."""
    try:
        parts = urllib.parse.urlsplit(text)
        given = parts.port
    except ValueError as error:
        raise LoadError(f"{text!r} is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LoadError(f"{text!r} is no URL of a server, such as https://sft.example.net")
    tls = None
    if parts.scheme == "https":
        tls = ssl.create_default_context()
        if insecure:
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
    port = given or (443 if tls else 80)
    return Url(parts.hostname, port, parts.path.rstrip("/") + "/", tls, insecure)


@lru_cache(maxsize=64)
def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str | int, ...]]:
    """The first address of a name; asked once."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return family, address  # type: ignore[return-value]  # typeshed allows for what has no IP


class HttpConnection:
    """POSTs, one after the other, over one connection."""

    def __init__(self, url: Url, watcher: Watcher) -> None:
        self.url = url
        self._watcher = watcher
        self._socket: socket.socket | None = None
        self._connected = False
        self._unsent = b""
        self._protocol = h11.Connection(h11.CLIENT)
        self._on_reply: OnReply = lambda status, body, now: None
        self._status = 0
        self._body = b""

    def post(self, path: str, body: bytes, on_reply: OnReply, now: float) -> None:
        """``path`` is appended to the URL's."""
        self._on_reply = on_reply
        self._body = b""
        try:
            if (
                self._socket is not None
                and self._protocol.our_state is self._protocol.their_state is h11.DONE
            ):
                self._protocol.start_next_cycle()
            else:
                self._open()
            headers = [
                ("host", self.url.authority),
                ("content-length", str(len(body))),
                ("content-type", "application/json"),
            ]
            request = h11.Request(method="POST", target=self.url.path + path, headers=headers)
            for event in (request, h11.Data(data=body), h11.EndOfMessage()):
                self._unsent += self._protocol.send(event) or b""
            if self._connected:
                self._send()
        except (OSError, h11.ProtocolError) as error:
            self._fail(error, now)

    def close(self) -> None:
        if self._socket is not None:
            self._watcher.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _open(self) -> None:
        """A new connection; one that was there is not kept up by both sides."""
        self.close()
        self._connected, self._unsent, self._protocol = False, b"", h11.Connection(h11.CLIENT)
        family, address = _resolve(self.url.host, self.url.port)
        plain = socket.socket(family, socket.SOCK_STREAM)
        plain.setblocking(False)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = plain
        code = plain.connect_ex(address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self._watcher.watch(plain.fileno(), self._on_ready, BOTH)

    def _on_ready(self, now: float) -> None:
        try:
            if not self._connected:
                self._connect()
            if self._unsent:
                self._send()
            self._receive(now)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            pass
        except (OSError, h11.ProtocolError) as error:
            self._fail(error, now)

    def _connect(self) -> None:
        """Until TCP and TLS are there; raises as a non-blocking socket does while they are not."""
        assert self._socket is not None
        if code := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code))
        self._socket.getpeername()
        if self.url.tls is not None:
            if not isinstance(self._socket, ssl.SSLSocket):
                self._socket = self.url.tls.wrap_socket(
                    self._socket, server_hostname=self.url.host, do_handshake_on_connect=False
                )
            self._socket.do_handshake()
        self._connected = True

    def _send(self) -> None:
        assert self._socket is not None
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        finally:
            fd = self._socket.fileno()
            self._watcher.unwatch(fd)
            self._watcher.watch(fd, self._on_ready, BOTH if self._unsent else select.EPOLLIN)

    def _receive(self, now: float) -> None:
        while self._socket is not None:
            data = self._socket.recv(65536)
            if not data and self._protocol.their_state is not h11.SEND_BODY:  # which it may end
                raise OSError("the server closed the connection")
            self._protocol.receive_data(data)
            while True:
                event = self._protocol.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    break
                if isinstance(event, h11.Response):
                    self._status = event.status_code
                elif isinstance(event, h11.Data):
                    self._body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    self._on_reply(self._status, self._body, now)  # may close us, or post again
                    return

    def _fail(self, error: Exception, now: float) -> None:
        self.close()
        self._on_reply(0, explain(error).encode(), now)
