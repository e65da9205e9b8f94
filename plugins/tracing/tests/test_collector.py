"""The way to the collector, which is a real one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import pytest

from sft.plugin import JoinRecord
from sft_tracing.collector import Collector
from sft_tracing.spans import Spans
from support.otlp_collector import OtlpCollector

MakeJoin = Callable[..., JoinRecord]


@pytest.fixture
def there() -> Iterator[OtlpCollector]:
    with OtlpCollector() as there:
        yield there


@pytest.fixture
def collector(there: OtlpCollector) -> Iterator[Collector]:
    collector = Collector(Spans("sft", 1.0), there.endpoint, {"x-key": "secret"})
    yield collector
    collector.close()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the logging of Python's library would print."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    lines: list[str] = []
    handler = Handler(logging.WARNING)
    logging.getLogger().addHandler(handler)
    yield lines
    logging.getLogger().removeHandler(handler)


def test_traces_arrive_whole_with_the_headers(
    collector: Collector, there: OtlpCollector, make_join: MakeJoin
) -> None:
    assert collector.send([make_join(), make_join(outcome="no_path")]) == (2, "")
    assert [trace.names for trace in there.traces] == [["offer", "http", "ice"]] * 2
    assert [trace.join.message for trace in there.traces] == ["", "no_path"]
    assert there.traces[0].join.attributes == {
        "sft.call": "c" * 8,
        "sft.participant": "u" * 8,
        "sft.outcome": "established",
        "sft.update": False,
        "sft.worker": 3,
        "network.transport": "udp",
        "sft.path.local": "host",
        "sft.path.remote": "srflx",
    }
    (headers,) = there.requests
    assert (headers["x-key"], headers["content-type"]) == ("secret", "application/x-protobuf")


def test_a_refusal_is_told_with_its_reason_and_not_logged_by_the_library(
    collector: Collector, there: OtlpCollector, make_join: MakeJoin, said: list[str]
) -> None:
    there.status = 401
    assert collector.send([make_join()]) == (
        1,
        "Failed to export spans batch code: 401, reason: Unauthorized",
    )
    assert said == []
    there.status = 200
    assert collector.send([make_join()]) == (1, "")


def test_nobody_is_asked_when_nothing_is_sampled(there: OtlpCollector, make_join: MakeJoin) -> None:
    collector = Collector(Spans("sft", 0.0), there.endpoint, {})
    assert collector.send([make_join()]) == (0, "")
    assert there.requests == []
    collector.close()
