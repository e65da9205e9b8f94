"""A client's HTTP connection that never blocks, so that many clients can join at once."""

from __future__ import annotations

import socket
from collections.abc import Callable

import h11


class HttpConnection:
    """POSTs, one after the other, over one connection. Status 0: the server closed it instead."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket = socket.create_connection(address)
        self._socket.setblocking(False)
        self._protocol = h11.Connection(h11.CLIENT)
        self._on_reply: Callable[[int, bytes, float], None] = lambda status, body, now: None
        self._status = 0
        self._body = b""

    @property
    def fd(self) -> int:
        return self._socket.fileno()

    def post(self, path: str, body: bytes, on_reply: Callable[[int, bytes, float], None]) -> None:
        """``on_reply(status, body, now)``. The body fits into the socket's buffer."""
        self._on_reply = on_reply
        if self._protocol.our_state is h11.DONE:
            self._protocol.start_next_cycle()
        host = f"{self._address[0]}:{self._address[1]}"
        headers = [("host", host), ("content-length", str(len(body))), ("content-type", "application/json")]
        data = self._protocol.send(h11.Request(method="POST", target=path, headers=headers)) or b""
        data += self._protocol.send(h11.Data(data=body)) or b""
        data += self._protocol.send(h11.EndOfMessage()) or b""
        self._socket.sendall(data)
        self._body = b""

    def on_readable(self, now: float) -> None:
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        if not data:
            self._on_reply(0, b"the server closed the connection", now)
            return
        self._protocol.receive_data(data)
        while True:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return
            if isinstance(event, h11.Response):
                self._status = event.status_code
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._on_reply(self._status, self._body, now)
                return

    def close(self) -> None:
        self._socket.close()
