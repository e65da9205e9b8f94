"""The pump waits in trio's place; everything that wakes trio still does."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sft.calls.timers import TimerHeap
from sft.model import Drops
from sft.server.pump import Pump
from sft.server.stand_in import stand_in, wait_for_both


def raises(error: BaseException) -> None:
    raise error


@pytest.fixture(params=["python", "native"])
async def pump(nursery: trio.Nursery, request: pytest.FixtureRequest):
    pump = Pump(TimerHeap(), raises)
    if request.param == "native":
        native = pytest.importorskip("sft_engine_native", reason="*** the native engine is not compiled ***")
        pump.make_waiter = native.NativeEngine(Drops()).waiter
    nursery.start_soon(pump.run)
    await wait_all_tasks_blocked()
    yield pump
    pump.close()


async def test_it_can_be_with_the_trio_that_is_installed() -> None:
    """If this fails after an upgrade, all still works, but a wake-up costs more: see docs/performance.md."""
    assert stand_in(lambda loop: wait_for_both(0, loop), lambda: math.inf) is not None


async def test_it_cannot_be_where_the_clock_is_not_the_machines(autojump_clock: MockClock) -> None:
    assert stand_in(lambda loop: wait_for_both(0, loop), lambda: math.inf) is None


async def test_tasks_sleep_as_long_as_they_asked_for(pump: Pump) -> None:
    with trio.fail_after(5):
        await trio.sleep(0.03)


async def test_streams_of_other_tasks_are_served(pump: Pump) -> None:
    near, far = trio.socket.socketpair()
    with near, far, trio.fail_after(5):
        await near.send(b"hello")
        assert await far.recv(10) == b"hello"


async def test_threads_are_heard(pump: Pump) -> None:
    with trio.fail_after(5):
        assert await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(lambda: 5)) == 5


async def test_all_tasks_can_be_blocked(pump: Pump) -> None:
    with trio.fail_after(5):
        await wait_all_tasks_blocked()


Act = Callable[[trio.Event, trio.CancelScope], None]


@pytest.mark.parametrize(
    "act",
    [
        lambda event, scope: event.set(),
        lambda event, scope: scope.cancel(),
        lambda event, scope: setattr(scope, "deadline", trio.current_time() + 0.01),
        lambda event, scope: trio.lowlevel.current_trio_token().run_sync_soon(event.set),
    ],
    ids=["event", "cancel", "deadline", "soon"],
)
@pytest.mark.parametrize("by", ["datagram", "timer"])
async def test_what_a_callback_does_to_a_task_shows_at_once(pump: Pump, act: Act, by: str) -> None:
    event = trio.Event()
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with near, far, trio.fail_after(5), trio.CancelScope() as scope:
        if by == "timer":
            pump._timers.call_at(trio.current_time() + 0.01, lambda now: act(event, scope))
        else:
            pump.watch(near.fileno(), lambda now: (near.recv(10), act(event, scope)))
            far.send(b"x")
        try:
            await event.wait()
        finally:
            pump.unwatch(near.fileno())


async def test_a_timer_that_a_task_sets_fires_on_time(pump: Pump) -> None:
    fired = trio.Event()
    with trio.fail_after(5):
        pump._timers.call_at(trio.current_time() + 0.01, lambda now: fired.set())
        await fired.wait()


async def test_a_fault_of_the_pump_itself_is_not_swallowed() -> None:
    in_place = stand_in(lambda loop: wait_for_both(0, loop), lambda: raises(RuntimeError("bug")))
    assert in_place is not None
    with pytest.raises(RuntimeError, match="bug"), trio.fail_after(5):
        await in_place.run()


async def test_it_ends_with_its_task(pump: Pump, nursery: trio.Nursery) -> None:
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True), trio.fail_after(5):
        await trio.sleep(0.01)
