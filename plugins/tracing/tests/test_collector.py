"""The way to the collector, which is a real one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sft.plugin import JoinRecord
from sft_tracing.collector import Collector
from sft_tracing.spans import Begun, Spans
from support.otlp_collector import OtlpCollector

MakeJoin = Callable[..., JoinRecord]


@pytest.fixture
def there() -> Iterator[OtlpCollector]:
    with OtlpCollector() as there:
        yield there


@pytest.fixture
def spans() -> Spans:
    return Spans("sft", 1.0)


@pytest.fixture
def collector(spans: Spans, there: OtlpCollector) -> Iterator[Collector]:
    collector = Collector(spans, there.endpoint, {"x-key": "secret"})
    yield collector
    collector.close()


@pytest.fixture
def begin(spans: Spans, make_join: MakeJoin) -> Callable[..., Begun]:
    """The trace of a join; keywords are fields of its record."""

    def begin(**fields: Any) -> Begun:
        begun = spans.begin(make_join(**fields))
        assert begun is not None
        return begun

    return begin


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
    collector: Collector, there: OtlpCollector, begin: Callable[..., Begun]
) -> None:
    assert collector.send([begin(), begin(outcome="no_path")]) == ""
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
    collector: Collector, there: OtlpCollector, begin: Callable[..., Begun], said: list[str]
) -> None:
    there.status = 401
    assert "401" in collector.send([begin()])
    assert said == []
    there.status = 200
    assert collector.send([begin()]) == ""
