from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio
from trio.testing import MockClock

from sft.calls.timers import TimerHeap
from sft.server import pump as pump_module
from sft.server.pump import Pump


class Ports:
    """Pairs of connected datagram sockets; the far end is written to, the near one watched."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []

    def pair(self) -> tuple[socket.socket, socket.socket]:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.setblocking(False)
        self.sockets += [near, far]
        return near, far


@pytest.fixture
def ports() -> Iterator[Ports]:
    ports = Ports()
    yield ports
    for sock in ports.sockets:
        sock.close()


def no_errors(error: BaseException) -> None:
    raise AssertionError from error


async def test_readable_descriptors_are_served(ports: Ports) -> None:
    pump, got = Pump(TimerHeap(), no_errors), trio.Event()
    near, far = ports.pair()
    received: list[bytes] = []

    def read(now: float) -> None:
        received.append(near.recv(100))
        got.set()

    pump.watch(near.fileno(), read)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        far.send(b"hello")
        await got.wait()
        nursery.cancel_scope.cancel()
    assert received == [b"hello"]


async def test_an_unwatched_descriptor_is_not_served(ports: Ports) -> None:
    pump, got = Pump(TimerHeap(), no_errors), trio.Event()
    quiet, quiet_far = ports.pair()
    near, far = ports.pair()
    pump.watch(quiet.fileno(), lambda now: pytest.fail("served after unwatch"))
    pump.watch(near.fileno(), lambda now: (near.recv(100), got.set()))
    pump.unwatch(quiet.fileno())
    quiet_far.send(b"x")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        far.send(b"x")
        await got.wait()
        nursery.cancel_scope.cancel()
    assert pump.watched == 1


async def test_a_callback_that_raises_is_reported_and_the_others_go_on(ports: Ports) -> None:
    errors: list[BaseException] = []
    pump, got = Pump(TimerHeap(), errors.append), trio.Event()
    bad, bad_far = ports.pair()
    near, far = ports.pair()

    def fail(now: float) -> None:
        bad.recv(100)
        raise RuntimeError("bug")

    pump.watch(bad.fileno(), fail)
    pump.watch(near.fileno(), lambda now: (near.recv(100), got.set()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        bad_far.send(b"x")
        far.send(b"x")
        await got.wait()
        with trio.fail_after(5):
            while not errors:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert [str(error) for error in errors] == ["bug"]


async def test_a_writable_descriptor_is_served_while_it_is_asked_for(ports: Ports) -> None:
    pump = Pump(TimerHeap(), no_errors)
    near, far = ports.pair()
    reads: list[bytes] = []
    writes: list[bytes] = []
    wrote, read = trio.Event(), trio.Event()

    def on_readable(now: float) -> None:
        reads.append(near.recv(100))
        read.set()

    def on_writable(now: float) -> None:
        near.send(b"%d" % len(writes))
        writes.append(far.recv(100))
        if len(writes) == 3:
            pump.want_write(near.fileno(), False)
            wrote.set()

    pump.watch(near.fileno(), on_readable, on_writable)
    far.send(b"before")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await read.wait()
        assert writes == [], "nobody asked"
        pump.want_write(near.fileno(), True)
        await wrote.wait()
        read = trio.Event()
        far.send(b"after")
        await read.wait()
        nursery.cancel_scope.cancel()
    assert reads == [b"before", b"after"]
    assert writes == [b"0", b"1", b"2"]


async def test_a_writer_that_stops_watching_is_not_read_in_the_same_round(ports: Ports) -> None:
    pump, got = Pump(TimerHeap(), no_errors), trio.Event()
    near, far = ports.pair()

    def on_writable(now: float) -> None:
        pump.unwatch(near.fileno())
        pump.want_write(near.fileno(), True)  # of what is not watched: nothing happens
        got.set()

    pump.watch(near.fileno(), lambda now: pytest.fail("served after unwatch"), on_writable)
    pump.want_write(near.fileno(), True)
    far.send(b"x")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await got.wait()
        nursery.cancel_scope.cancel()
    assert pump.watched == 0


async def test_timers_fire_on_time_without_traffic(autojump_clock: MockClock) -> None:
    timers, fired = TimerHeap(), []
    pump = Pump(timers, no_errors)
    start = trio.current_time()
    timers.call_at(start + 5, fired.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert fired == [start + 5]


async def test_a_timer_set_by_another_task_while_the_pump_sleeps_fires_on_time(
    autojump_clock: MockClock,
) -> None:
    timers, fired = TimerHeap(), []
    pump = Pump(timers, no_errors)
    start = trio.current_time()
    timers.call_at(start + 100, fired.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        await trio.sleep(1)
        timers.call_at(start + 3, fired.append)
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert fired == [start + 3]


async def test_due_timers_fire_although_a_descriptor_is_always_readable(ports: Ports) -> None:
    timers = TimerHeap()
    pump = Pump(timers, no_errors)
    near, far = ports.pair()
    far.send(b"never read")
    served: list[float] = []
    pump.watch(near.fileno(), served.append)
    fired = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        timers.call_at(trio.current_time() + 0.01, lambda now: fired.set())
        with trio.fail_after(5):
            await fired.wait()
        nursery.cancel_scope.cancel()
    assert len(served) > 1


async def test_a_descriptor_that_is_always_readable_does_not_keep_other_tasks_waiting(ports: Ports) -> None:
    pump = Pump(TimerHeap(), no_errors)
    near, far = ports.pair()
    far.send(b"never read")
    pump.watch(near.fileno(), lambda now: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        with trio.fail_after(5):
            for _ in range(100):
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_who_was_not_served_in_a_turn_is_the_first_of_the_next(
    ports: Ports, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However busy the others are: a turn ends after its time, in the middle of the ready ones."""
    monkeypatch.setattr(pump_module, "TURN_SECONDS", 0.0001)
    pump = Pump(TimerHeap(), no_errors)
    served: list[int] = []

    def busy(number: int) -> None:
        served.append(number)
        end = trio.current_time() + 0.0002
        while trio.current_time() < end:
            pass

    for number in range(5):
        near, far = ports.pair()
        far.send(b"never read")
        pump.watch(near.fileno(), lambda now, number=number: busy(number))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pump.run)
        with trio.fail_after(5):
            while len(served) < 50:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert {number: served[:50].count(number) for number in range(5)} == dict.fromkeys(range(5), 10)
