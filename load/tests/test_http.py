"""POSTs to servers, and proxies before them, that keep up a connection or do not."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sft_load.errors import NO_DESCRIPTORS, explain
from sft_load.http import HttpConnection, read_url


class Watcher:
    """One epoll."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, Callable[[float], None]] = {}

    def watch(self, fd: int, on_ready: Callable[[float], None], events: int = select.EPOLLIN) -> None:
        self._callbacks[fd] = on_ready
        self._epoll.register(fd, events)

    def unwatch(self, fd: int) -> None:
        del self._callbacks[fd]
        self._epoll.unregister(fd)

    def run_until(self, done: Callable[[], bool]) -> None:
        end = time.monotonic() + 10.0
        while not done():
            assert time.monotonic() < end
            for fd, _ in self._epoll.poll(0.1):
                self._callbacks[fd](time.monotonic())


@contextmanager
def serving(reply: bytes, *, closes: bool) -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that gives the same reply to each request. Yields its URL, and the connections it has had."""
    had: list[socket.socket] = []

    def serve(one: socket.socket) -> None:
        with one:
            while one.recv(65536):
                one.sendall(reply)
                if closes:
                    return

    def accept() -> None:
        while True:
            try:
                one, _ = listening.accept()
            except OSError:
                return
            had.append(one)
            threading.Thread(target=serve, args=(one,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", had
        listening.shutdown(socket.SHUT_RDWR)


def posts(url: str, count: int) -> list[tuple[int, bytes]]:
    """The replies to as many requests, each sent from within the reply before."""
    watcher = Watcher()
    connection = HttpConnection(read_url(url), watcher)
    replies: list[tuple[int, bytes]] = []

    def on_reply(status: int, body: bytes, now: float) -> None:
        replies.append((status, body))
        if len(replies) < count:
            connection.post("x", b"{}", on_reply, now)

    connection.post("x", b"{}", on_reply, 0.0)
    watcher.run_until(lambda: len(replies) == count)
    connection.close()
    return replies


@pytest.mark.parametrize(
    ("reply", "closes", "connections"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", False, 1),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", True, 3),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", False, 3),
        (b"HTTP/1.0 200 OK\r\n\r\n{}", True, 3),
    ],
    ids=["kept", "closed", "to be closed", "until it ends"],
)
def test_one_request_follows_the_other(reply: bytes, closes: bool, connections: int) -> None:
    with serving(reply, closes=closes) as (url, had):
        assert posts(url, 3) == [(200, b"{}")] * 3
        assert len(had) == connections


def test_a_connection_that_ends_without_a_reply_is_told() -> None:
    with serving(b"", closes=True) as (url, _):
        (reply,) = posts(url, 1)
        assert reply[0] == 0
        assert b"closed" in reply[1]


def test_a_lack_of_descriptors_is_told_as_ours() -> None:
    assert explain(OSError(24, "Too many open files")) == NO_DESCRIPTORS
    assert explain(ConnectionRefusedError(111, "Connection refused")) == "Connection refused"
