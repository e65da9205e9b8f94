"""A join becomes a trace."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from sft.plugin import JoinRecord, ParticipantId, PhaseRecord
from sft_tracing.spans import Spans

MakeJoin = Callable[..., JoinRecord]
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SPANS = Spans("sft", 1.0)


def trace_of(spans: Spans, join: JoinRecord) -> list[ReadableSpan]:
    """Empty: it is not sampled."""
    begun = spans.begin(join)
    return [] if begun is None else spans.end(begun)


def root_of(spans: list[ReadableSpan]) -> ReadableSpan:
    (root,) = [span for span in spans if span.name == "join"]
    return root


def parent_of(traceparent: str, make_join: MakeJoin) -> tuple[str, str] | None:
    """(trace, span) of the parent that this header names."""
    parent = root_of(trace_of(SPANS, make_join(traceparent=traceparent))).parent
    return None if parent is None else (f"{parent.trace_id:032x}", f"{parent.span_id:016x}")


def test_spans_have_the_times_of_the_join(make_join: MakeJoin) -> None:
    spans = trace_of(SPANS, make_join())
    assert [(span.name, span.start_time, span.end_time) for span in spans] == [
        ("offer", 100_000_000_000, 100_500_000_000),
        ("http", 100_000_000_000, 100_500_000_000),
        ("ice", 100_000_000_000, 100_500_000_000),
        ("join", 100_000_000_000, 101_000_000_000),
    ]
    root = root_of(spans)
    assert [span.parent for span in spans[:-1]] == [root.context] * 3
    assert trace_of(SPANS, make_join())[0].context.trace_id != root.context.trace_id
    assert root.resource.attributes["service.name"] == "sft"


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        ("established", StatusCode.UNSET),
        ("abandoned", StatusCode.UNSET),
        ("no_path", StatusCode.ERROR),
        ("call_full", StatusCode.ERROR),
    ],
)
def test_joins_that_fail_are_errors(outcome: str, status: StatusCode, make_join: MakeJoin) -> None:
    root = root_of(trace_of(SPANS, make_join(outcome=outcome)))
    assert root.status.status_code is status
    assert root.attributes is not None
    assert root.attributes["sft.outcome"] == outcome


def test_the_phase_in_which_it_ended_is_an_error(make_join: MakeJoin) -> None:
    phases = (PhaseRecord(phase="ice", began=1.0, ended=2.0, done=False),)
    (ice, _) = trace_of(SPANS, make_join(outcome="no_path", phases=phases))
    assert ice.status.status_code is StatusCode.ERROR


def test_nobody_is_named(make_join: MakeJoin) -> None:
    call, user = secrets.token_hex(16), secrets.token_hex(32)
    spans = trace_of(SPANS, make_join(call=call, participant=ParticipantId(user, "my phone")))
    told = " ".join(span.to_json() for span in spans)
    assert call[:8] in told
    assert user[:8] in told
    for secret in (call[:9], user[:9], "my phone"):
        assert secret not in told


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_valid_header_is_the_parent_sampled_or_not(flags: str, make_join: MakeJoin) -> None:
    assert parent_of(f"00-{TRACE}-{SPAN}-{flags}", make_join) == (TRACE, SPAN)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-zz",
    ],
)
def test_any_other_header_is_ignored(header: str, make_join: MakeJoin) -> None:
    assert parent_of(header, make_join) is None


@given(header=st.one_of(st.text(max_size=128), st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-.*")))
def test_no_header_breaks_a_trace(header: str) -> None:
    join = JoinRecord(
        call="c", participant=ParticipantId("u", "c"), outcome="established", began=1.0, ended=2.0
    )
    (root,) = trace_of(SPANS, join)
    assert root.name == "join"
    join = JoinRecord(
        call=header,
        participant=ParticipantId(header, header),
        outcome="bad_request",
        began=1.0,
        ended=2.0,
        traceparent=header,
    )
    assert len(trace_of(SPANS, join)) == 1


def test_a_share_of_the_joins_is_traced_whole(make_join: MakeJoin) -> None:
    spans = Spans("sft", 0.25)
    sizes = [len(trace_of(spans, make_join())) for _ in range(2000)]
    assert set(sizes) == {0, 4}
    assert 350 < sizes.count(4) < 650, "500 are expected, seven standard deviations are 136"


def test_clients_cannot_have_themselves_traced_by_a_flag(make_join: MakeJoin) -> None:
    assert trace_of(Spans("sft", 0.0), make_join(traceparent=f"00-{TRACE}-{SPAN}-01")) == []
