"""A NAT in user space: a UDP forwarder between clients and server whose mappings can change in mid-call.

The server binds ``inside`` and advertises ``outside``, where this listens on the same ports. Each client's
datagrams go on to the server from a socket of their own, the mapping.
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeAlias

Address: TypeAlias = tuple[str, int]

INSIDE, OUTSIDE = "127.0.0.1", "127.0.0.2"
MAX_DATAGRAM = 2048


class Nat:
    """Forwards until closed. One thread carries the datagrams; ``rebind`` may be called from any."""

    def __init__(self, ports: Iterable[int], inside: str = INSIDE, outside: str = OUTSIDE) -> None:
        self.ports = tuple(ports)
        self._inside = inside
        self._lock = threading.Lock()  # around mappings, which the thread makes and rebind takes away
        self._mappings: dict[tuple[int, Address], socket.socket] = {}
        self._stale: list[socket.socket] = []
        """Mappings of the past, bound still: what the server sends there is lost without an error."""
        self._selector = selectors.DefaultSelector()
        self._outside: list[socket.socket] = []
        for port in self.ports:
            listener = _bind(outside, port)
            self._outside.append(listener)
            self._watch(listener, partial(self._carry_in, listener, port))
        self._wake, self._woken = socket.socketpair()
        self._closed = False
        self._watch(self._woken, lambda: None)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def mapped(self, port: int) -> set[int]:
        """The source ports from which the server hears the clients that talk to ``port``."""
        with self._lock:
            return {s.getsockname()[1] for (to, _), s in self._mappings.items() if to == port}

    def rebind(self, port: int) -> None:
        """Forget who talks to ``port``: their next datagrams come from new source ports."""
        with self._lock:
            for key in [key for key in self._mappings if key[0] == port]:
                stale = self._mappings.pop(key)
                self._selector.unregister(stale)
                self._stale.append(stale)

    def close(self) -> None:
        self._closed = True
        self._wake.send(b"\0")
        self._thread.join(5)
        self._selector.close()
        for one in [*self._outside, *self._mappings.values(), *self._stale, self._wake, self._woken]:
            one.close()

    def _run(self) -> None:
        while not self._closed:
            for key, _ in self._selector.select():
                key.data()

    def _carry_in(self, listener: socket.socket, port: int) -> None:
        """From a client to the server."""
        try:
            data, client = listener.recvfrom(MAX_DATAGRAM)
        except OSError:  # the client of an earlier datagram is gone
            return
        with self._lock:
            mapping = self._mappings.get((port, client))
            if mapping is None:
                mapping = self._mappings[port, client] = _bind(self._inside, 0)
                self._watch(mapping, partial(self._carry_out, mapping, listener, client))
        mapping.sendto(data, (self._inside, port))

    def _carry_out(self, mapping: socket.socket, listener: socket.socket, client: Address) -> None:
        """From the server to a client."""
        try:
            data = mapping.recv(MAX_DATAGRAM)
        except OSError:  # rebound meanwhile, or the server's port is closed
            return
        listener.sendto(data, client)

    def _watch(self, one: socket.socket, act: Callable[[], None]) -> None:
        self._selector.register(one, selectors.EVENT_READ, act)


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


@contextmanager
def running_nat(ports: str) -> Iterator[Nat]:
    """``ports``: a range as in the server's config, ``first-last``."""
    first, last = map(int, ports.split("-"))
    nat = Nat(range(first, last + 1))
    try:
        yield nat
    finally:
        nat.close()
