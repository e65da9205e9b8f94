"""How long a small packet takes from one host of a lab to another, again and again, beside other traffic."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType

from support.lab import Host
from support.stamps import receive, stamped, take_stamps

PACE = 50.0
SIZE = 16
"""Packets per second, and bytes of each; of 44 with its headers: 18 kbit/s."""


class OneWay:
    """Packets from ``sender`` to ``receiver``'s ``address`` as long as the ``with`` block lasts. All hosts
    of a lab have the same clock."""

    def __init__(self, sender: Host, receiver: Host, address: str) -> None:
        with receiver.entered():
            self._receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._receiver.bind((address, 0))
        self._receiver.settimeout(0.2)
        take_stamps(self._receiver)
        with sender.entered():
            self._sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sender.connect(self._receiver.getsockname())
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=run) for run in (self._send, self._receive)]
        self.delays: list[tuple[float, float]] = []
        """(when a packet arrived, by ``time.time``, and how many seconds it was on the way)."""

    def between(self, start: float, end: float) -> list[float]:
        """The delays of what arrived between two moments, shortest first."""
        return sorted(delay for arrived, delay in self.delays if start < arrived <= end)

    def _send(self) -> None:
        number = 0
        while not self._stop.wait(1 / PACE):
            self._sender.send(stamped(number, SIZE))
            number += 1

    def _receive(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                _, delay, arrived = receive(self._receiver)
                self.delays.append((arrived, delay))

    def __enter__(self) -> OneWay:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._sender.close()
        self._receiver.close()
