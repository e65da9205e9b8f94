"""A bad link: UDP ports of another loopback address, whose datagrams go to the same ports of 127.0.0.1."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable
from types import TracebackType

ADDRESS = "127.0.0.2"


class LossyLink:
    """Carries datagrams both ways for one client per port; ``drops(datagram)`` says which do not reach it."""

    def __init__(self, ports: range, drops: Callable[[bytes], bool]) -> None:
        self._drops = drops
        self._ends: dict[int, tuple[socket.socket, socket.socket, dict[str, object]]] = {}
        self._epoll = select.epoll()
        self._stop, self._stopped = socket.socketpair()
        self._epoll.register(self._stopped, select.EPOLLIN)
        for port in ports:
            outer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            outer.bind((ADDRESS, port))
            inner = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            inner.connect(("127.0.0.1", port))
            client: dict[str, object] = {}
            for end in (outer, inner):
                end.setblocking(False)
                self._ends[end.fileno()] = outer, inner, client
                self._epoll.register(end, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> LossyLink:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.send(b"x")
        self._thread.join()
        for outer, inner, _ in self._ends.values():
            outer.close()
            inner.close()
        for end in (self._stop, self._stopped):
            end.close()
        self._epoll.close()

    def _run(self) -> None:
        while True:
            for fd, _ in self._epoll.poll():
                if fd == self._stopped.fileno():
                    return
                outer, inner, client = self._ends[fd]
                while True:
                    try:
                        if fd == outer.fileno():
                            data, client["address"] = outer.recvfrom(2048)
                            inner.send(data)
                        else:
                            data = inner.recv(2048)
                            if not self._drops(data):
                                outer.sendto(data, client["address"])
                    except BlockingIOError:
                        break
                    except ConnectionRefusedError:
                        pass  # one of the ends is gone already
