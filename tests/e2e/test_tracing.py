"""Traces of real joins at a real server, as a collector gets them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients import ClientPool
from support.metrics import check_metrics
from support.otlp_collector import OtlpCollector, Trace
from support.rtp import audio
from support.server import Server, ports_of_two_workers, running_server
from support.wire import confconn, message, new_id

PARENT_TRACE, PARENT_SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{PARENT_TRACE}-{PARENT_SPAN}-01"

ANSWER = "\r\n".join(
    [
        "v=0",
        "m=audio 9 UDP/TLS/RTP/SAVPF 111",
        "a=mid:audio",
        "a=rtcp-mux",
        "a=ice-ufrag:nobody",
        f"a=ice-pwd:{'x' * 24}",
        f"a=fingerprint:sha-256 {':'.join(['00'] * 32)}",
        "a=setup:active",
        "a=ssrc:3001001 cname:nobody",
        "m=application 9 DTLS/SCTP 5000",
        "a=mid:data",
        "",
    ]
)
"""Of a client that is never heard of again."""

OFFER_SECONDS = 3


@pytest.fixture
def collector() -> Iterator[OtlpCollector]:
    with OtlpCollector() as collector:
        yield collector


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def server(request: pytest.FixtureRequest, tmp_path: Path, collector: OtlpCollector) -> Iterator[Server]:
    """Impatient; its calls have room for two."""
    (tmp_path / "headers").write_text("Authorization: Bearer secret\nX-Scope: sft\n")
    with running_server(
        tmp_path,
        server={"workers": request.param},
        limits={"participants_per_call": 2},
        timers={"offer_seconds": OFFER_SECONDS, "connect_seconds": 1},
        plugins={
            **ports_of_two_workers(),
            "tracing": {
                "endpoint": collector.endpoint,
                "service_name": "sft-test",
                "headers_file": "headers",
            },
        },
    ) as server:
        yield server


def trace_of(collector: OtlpCollector, user: str) -> Trace:
    """The only one of this participant."""

    def found() -> list[Trace]:
        return [one for one in collector.traces if one.join.attributes["sft.participant"] == user[:8]]

    collector.wait(found)
    (trace,) = found()
    return trace


def counts_of(server: Server) -> str:
    return server.get("/tracing", operator=True).body.decode()


def assert_in_order(trace: Trace, since: float) -> None:
    join = trace.join
    assert since < join.began <= join.ended < time.time()
    for phase in trace.phases:
        assert join.began <= phase.began <= phase.ended < time.time()
        assert phase.service == "sft-test"


def test_a_join_is_a_trace_with_a_span_for_each_phase(
    server: Server, collector: OtlpCollector, clients: ClientPool
) -> None:
    began, call = time.time(), new_id()
    ann, bob = clients.make(), clients.make()
    ann.join(server.url, call, headers={"traceparent": PARENT})
    bob.join(server.url, call, headers={"traceparent": PARENT.replace("-01", "-nonsense")})
    ann.send(audio(ann.ssrcs["audio"], 5))
    sent = time.time()
    trace = trace_of(collector, ann.user)
    assert_in_order(trace, began)
    assert trace.names == ["offer", "http", "ice", "dtls", "channel", "media"]
    offer, http, ice, dtls, channel, media = trace.phases
    assert offer.began == trace.join.began
    assert offer.ended == http.began
    assert ice.ended == dtls.began
    assert dtls.ended == channel.began == media.began
    assert channel.ended == trace.join.ended
    assert media.ended < sent
    assert (trace.join.trace, trace.join.parent) == (PARENT_TRACE, PARENT_SPAN)
    assert not any(span.failed for span in (trace.join, *trace.phases))
    attributes = dict(trace.join.attributes)
    assert attributes.pop("sft.worker") in (0, 1)
    assert attributes == {
        "sft.call": call[:8],
        "sft.participant": ann.user[:8],
        "sft.outcome": "established",
        "sft.update": False,
        "network.transport": "udp",
        "sft.path.local": "host",
        "sft.path.remote": "host",
    }
    assert {"authorization": "Bearer secret", "x-scope": "sft"}.items() <= collector.requests[0].items()
    bob.hangup()
    trace = trace_of(collector, bob.user)
    assert trace.names == ["offer", "http", "ice", "dtls", "channel"]
    assert (trace.join.parent, trace.join.failed) == ("", False)
    assert trace.join.trace != PARENT_TRACE
    assert not any(
        ann.user[8:] in str(value) for span in collector.spans for value in span.attributes.values()
    )
    collector.wait(lambda: 'sft_traces_total{result="sent"} 2' in counts_of(server))
    assert check_metrics(counts_of(server)) == []


def test_joins_that_fail_are_traces_that_say_where(server: Server, collector: OtlpCollector) -> None:
    began, call = time.time(), new_id()
    silent, lost, third = new_id(), new_id(), new_id()

    def ask(user: str, headers: dict[str, str]) -> bytes:
        return server.post(f"/sft/{call}", json.dumps(confconn(call, user)), headers).body

    assert b"v=0" in ask(silent, {"traceparent": PARENT})
    assert b"v=0" in ask(lost, {})
    answer = message("SETUP", call, lost, resp=True, sdp=ANSWER, props={})
    assert server.post_json(f"/sft/{call}", answer).status == 200
    assert b"v=0" not in ask(third, {"traceparent": PARENT})
    refused = trace_of(collector, third)
    assert (refused.phases, refused.join.failed, refused.join.message) == ([], True, "call_full")
    assert (refused.join.trace, refused.join.parent) == (PARENT_TRACE, PARENT_SPAN)
    assert "sft.worker" not in refused.join.attributes
    unanswered = trace_of(collector, silent)
    assert (unanswered.join.message, unanswered.join.parent) == ("no_answer", PARENT_SPAN)
    assert [(phase.name, phase.failed) for phase in unanswered.phases] == [("offer", False), ("http", True)]
    assert OFFER_SECONDS <= unanswered.phases[1].ended - unanswered.phases[1].began < 10
    pathless = trace_of(collector, lost)
    assert pathless.join.attributes["sft.outcome"] == "no_path"
    assert "network.transport" not in pathless.join.attributes
    assert [(phase.name, phase.failed) for phase in pathless.phases] == [
        ("offer", False),
        ("http", False),
        ("ice", True),
    ]
    for trace in (refused, unanswered, pathless):
        assert_in_order(trace, began)


def test_a_collector_that_does_not_answer_costs_no_join_and_one_line(
    tmp_path: Path, clients: ClientPool
) -> None:
    with OtlpCollector() as gone:
        endpoint = gone.endpoint
    with running_server(tmp_path, plugins={"tracing": {"endpoint": endpoint}}) as server:
        for _ in range(3):
            ann = clients.make()
            ann.join(server.url, new_id())
            ann.hangup()
        server.wait(lambda _: "tracing.lost" in server.log_text, 30)
        lines = [line for line in server.log if line["event"] == "tracing.lost"]
        assert len(lines) == 1
        assert "refused" in lines[0]["reason"]
        counts = counts_of(server)
        assert 'sft_traces_total{result="sent"} 0' in counts
        assert 'sft_traces_total{result="failed"} 0' not in counts
        assert server.log_text.count("\n") == len(server.log), "nothing else writes there"


def test_without_a_collector_nothing_of_opentelemetry_is_loaded(server_without: Server) -> None:
    maps = Path(f"/proc/{server_without.pid}/maps").read_text()
    assert "_upb" not in maps, "protobuf's library"
    assert server_without.get("/tracing", operator=True).status == 404


@pytest.fixture
def server_without(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as server:
        yield server
