"""Joins wait within bounds, and nobody waits for the collector."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
import trio
import trio.testing

from sft.plugin import JoinRecord
from sft.plugin.testing import FakeServices
from sft_tracing import sender as sender_module
from sft_tracing.sender import (
    BATCH,
    LAST_SECONDS,
    QUEUE,
    QUEUE_WITHOUT_OFFER,
    QUIET_SECONDS,
    Sender,
)

MakeJoin = Callable[..., JoinRecord]

UNSAMPLED = "unsampled"
"""The call of joins that are not traced."""


class Collector:
    """Takes joins, or gives this reason why not, once it is let."""

    def __init__(self) -> None:
        self.batches: list[list[JoinRecord]] = []
        self.reason = ""
        self.fault: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def begin(self, join: JoinRecord) -> JoinRecord | None:
        return join if join.call != UNSAMPLED else None

    def send(self, joins: Sequence[JoinRecord]) -> str:
        self.open.wait(10)
        if self.fault is not None:
            raise self.fault
        self.batches.append(list(joins))
        return self.reason


@pytest.fixture
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.open.set()


class Services(FakeServices):
    """With a clock of the test's."""

    time = 0.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def services() -> Iterator[Services]:
    services = Services()
    yield services
    services.close()


@pytest.fixture
def sender(collector: Collector, services: Services, monkeypatch: pytest.MonkeyPatch) -> Sender[JoinRecord]:
    monkeypatch.setattr(sender_module, "GATHER_SECONDS", 0.01)
    return Sender(collector.begin, collector.send, services)


async def until(happened: Callable[[], object]) -> None:
    with trio.fail_after(10):
        while not happened():  # noqa: ASYNC110  # counters, which set no event
            await trio.sleep(0.001)


async def test_joins_of_a_moment_are_sent_together(
    sender: Sender[JoinRecord], collector: Collector, make_join: MakeJoin
) -> None:
    joins = [make_join(began=float(number)) for number in range(5)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        for join in joins[:3]:
            sender.take(join)
        await until(lambda: sender.sent == 3)
        for join in joins[3:]:
            sender.take(join)
        await until(lambda: sender.sent == 5)
        nursery.cancel_scope.cancel()
    assert collector.batches == [joins[:3], joins[3:]]


async def test_what_does_not_fit_is_dropped_counted_and_logged_once_a_while(
    sender: Sender[JoinRecord],
    collector: Collector,
    services: Services,
    make_join: MakeJoin,
) -> None:
    for _ in range(QUEUE + 3):
        sender.take(make_join())
    assert sender.dropped == 3
    ((event, fields),) = services.warned
    assert event == "tracing.lost"
    assert fields["dropped"] == 1
    services.time += QUIET_SECONDS
    sender.take(make_join())
    assert services.warned[-1][1]["dropped"] == 4
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        await until(lambda: sender.sent == QUEUE)
        nursery.cancel_scope.cancel()
    assert {len(batch) for batch in collector.batches} == {BATCH}


async def test_joins_that_are_not_sampled_take_no_place_and_no_time(
    sender: Sender[JoinRecord], collector: Collector, make_join: MakeJoin
) -> None:
    for _ in range(QUEUE + 1):
        sender.take(make_join(call=UNSAMPLED))
    traced = make_join()
    sender.take(traced)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        await until(lambda: sender.sent)
        nursery.cancel_scope.cancel()
    assert collector.batches == [[traced]]
    assert sender.dropped == 0


async def test_a_flood_of_joins_that_get_no_offer_takes_no_other_place(
    sender: Sender[JoinRecord], make_join: MakeJoin
) -> None:
    for _ in range(QUEUE):
        sender.take(make_join(outcome="too_many_requests", phases=()))
    assert sender.dropped == QUEUE - QUEUE_WITHOUT_OFFER
    for _ in range(QUEUE - QUEUE_WITHOUT_OFFER):
        sender.take(make_join())
    assert sender.dropped == QUEUE - QUEUE_WITHOUT_OFFER


async def test_a_collector_that_refuses_is_told_of_rarely_and_asked_again(
    sender: Sender[JoinRecord],
    collector: Collector,
    services: Services,
    make_join: MakeJoin,
) -> None:
    collector.reason = "401 Unauthorized"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        for number in range(1, 4):
            sender.take(make_join())
            await until(lambda number=number: sender.failed == number)
        assert [fields["reason"] for _, fields in services.warned] == ["401 Unauthorized"]
        collector.reason = ""
        sender.take(make_join())
        await until(lambda: sender.sent == 1)
        nursery.cancel_scope.cancel()
    assert (sender.sent, sender.failed, sender.dropped) == (1, 3, 0)


async def test_a_fault_of_the_library_ends_nothing(
    sender: Sender[JoinRecord], collector: Collector, services: Services, make_join: MakeJoin
) -> None:
    collector.fault = ConnectionError("refused")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        sender.take(make_join())
        await until(lambda: sender.failed == 1)
        assert [fields["reason"] for _, fields in services.warned] == ["ConnectionError('refused')"]
        collector.fault = None
        sender.take(make_join())
        await until(lambda: sender.sent == 1)
        nursery.cancel_scope.cancel()


async def test_what_waits_at_the_end_is_sent(
    sender: Sender[JoinRecord], collector: Collector, make_join: MakeJoin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "GATHER_SECONDS", 60)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        sender.take(make_join())
        await trio.testing.wait_all_tasks_blocked()
        assert collector.batches == []
        nursery.cancel_scope.cancel()
    assert sender.sent == 1


async def test_a_collector_that_hangs_holds_up_neither_joins_nor_the_end(
    sender: Sender[JoinRecord], collector: Collector, make_join: MakeJoin
) -> None:
    collector.open.clear()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        for _ in range(BATCH):
            sender.take(make_join())
        await trio.testing.wait_all_tasks_blocked(0.05)
        sender.take(make_join())
        began = trio.current_time()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < LAST_SECONDS, "it is not asked once more"
    assert sender.sent == 0
