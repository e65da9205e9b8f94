"""Waiting in C: what it serves itself, and what it comes back for. That trio gets on with it is in
tests/server/test_stand_in.py."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterator

import pytest

pytest.importorskip("sft_engine_native", reason="*** the native engine is not compiled ***")

from sft.forwarding.endpoint import Endpoint
from sft.model import Drop, Drops, ParticipantId
from sft_engine_native import NativeEngine
from sft_transport_udp.base import UdpBase

CONTROL = b"\0control"
MEDIA = bytes.fromhex("80640001000003e800000005") + bytes(30)


class Pump:
    """An epoll, another loop's descriptor, and peers that a waiter reads."""

    def __init__(self) -> None:
        self.drops = Drops()
        self.engine = NativeEngine(self.drops)
        self.epoll = select.epoll()
        self.loop, self.waker = socket.socketpair()
        self.watched: dict = {}
        self.errors: list[BaseException] = []
        self.bases: list[UdpBase] = []
        self.controls: list[bytes] = []
        self.wait = self.engine.waiter(
            self.epoll.fileno(), self.loop.fileno(), self.watched, time.monotonic, self.errors.append
        )

    def peer(self) -> UdpBase:
        """A base that is watched; what is control to it goes to ``controls``."""
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind(("127.0.0.1", 0))
        bound.setblocking(False)
        endpoint = Endpoint(ParticipantId("a", "_"), 7, 5, 9, self.engine, self.drops, os.urandom)
        endpoint.control = lambda base, data, address, now: self.controls.append(data)
        base = UdpBase(bound, self.engine.receiver(endpoint), self.drops)
        base.watch(self)
        self.bases.append(base)
        return base

    def watch(self, fd: int, on_readable) -> None:
        self.epoll.register(fd, select.EPOLLIN)
        self.watched[fd] = on_readable

    def unwatch(self, fd: int) -> None:
        self.watched.pop(fd, None)

    def send(self, base: UdpBase, data: bytes, times: int = 1) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            for _ in range(times):
                client.sendto(data, base._socket.getsockname())

    def close(self) -> None:
        for base in self.bases:
            base.close()
        for one in (self.epoll, self.loop, self.waker):
            one.close()


@pytest.fixture
def pump() -> Iterator[Pump]:
    pump = Pump()
    yield pump
    pump.close()


def test_it_waits_as_long_as_it_may(pump: Pump) -> None:
    before = time.monotonic()
    assert pump.wait(0.02) is False
    assert time.monotonic() - before >= 0.02
    assert pump.wait(0.0) is False


def test_it_comes_back_for_the_other_loop(pump: Pump) -> None:
    pump.waker.send(b"!")
    assert pump.wait(60.0) is True


def test_it_comes_back_when_python_was_called(pump: Pump) -> None:
    pump.send(pump.peer(), CONTROL)
    assert pump.wait(60.0) is False
    assert pump.controls == [CONTROL]


def test_what_is_not_its_own_is_left_to_the_pump(pump: Pump) -> None:
    near, far = socket.socketpair()
    with near, far:
        pump.watch(near.fileno(), lambda now: pytest.fail("called"))
        far.send(b"!")
        assert pump.wait(60.0) is False


def test_what_is_not_watched_any_more_is_not_read(pump: Pump) -> None:
    base = pump.peer()
    pump.send(base, CONTROL)
    pump.unwatch(base.fd)
    assert pump.wait(0.01) is False
    assert pump.controls == []


def test_a_fault_of_one_is_told_and_the_others_are_served(pump: Pump) -> None:
    bases = [pump.peer() for _ in range(3)]
    bases[1]._receive.args[0].control = lambda base, data, address, now: 1 // 0
    for base in bases:
        pump.send(base, CONTROL)
    while len(pump.controls) + len(pump.errors) < 3:
        pump.wait(60.0)
    assert [type(error) for error in pump.errors] == [ZeroDivisionError]
    assert pump.controls == [CONTROL, CONTROL]


def test_a_busy_socket_keeps_no_other_waiting(pump: Pump) -> None:
    busy, other = pump.peer(), pump.peer()
    pump.send(busy, MEDIA, times=100)
    pump.send(other, CONTROL)
    pump.wait(60.0)
    assert pump.controls == [CONTROL]
    assert pump.drops.counts[Drop.SRTP_TOO_EARLY] <= 32


def test_of_the_other_loop_only_the_wait_tells_that_saw_it(pump: Pump) -> None:
    """It runs between two waits, and takes what there was."""

    def outlast_the_turn(base: UdpBase, data: bytes, address: object, now: float) -> None:
        end = time.monotonic() + 0.005
        while time.monotonic() < end:
            pass

    slow, other = pump.peer(), pump.peer()
    slow._receive.args[0].control = outlast_the_turn
    for base in (slow, other):
        pump.send(base, CONTROL)
    pump.waker.send(b"!")
    assert pump.wait(60.0) is True
    assert pump.controls == []
    pump.loop.recv(1)
    assert pump.wait(60.0) is False
    assert pump.controls == [CONTROL]


def test_signals_are_heard(pump: Pump) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            pump.wait(60.0)
    finally:
        signal.signal(signal.SIGALRM, before)
