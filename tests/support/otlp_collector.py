"""A collector of traces: takes OTLP over HTTP, and keeps what it was sent."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import attrs
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@attrs.frozen
class Span:
    """As it came; times are Unix seconds, ids are hex digits."""

    name: str
    trace: str
    id: str
    parent: str
    began: float
    ended: float
    failed: bool
    message: str
    attributes: dict[str, str | bool | int]
    service: str


@attrs.frozen
class Trace:
    """A join and its phases, in the order they were sent."""

    join: Span
    phases: list[Span]

    @property
    def names(self) -> list[str]:
        return [phase.name for phase in self.phases]


class OtlpCollector:
    """Listens on loopback as long as the block lasts. ``status``: what it answers with."""

    def __init__(self) -> None:
        self.status = 200
        self.spans: list[Span] = []
        self.requests: list[dict[str, str]] = []
        """The headers of each."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                collector.requests.append({name.lower(): value for name, value in self.headers.items()})
                if collector.status == 200:
                    collector.spans += read_spans(body)
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    @property
    def traces(self) -> list[Trace]:
        """Those whose join came, in that order."""
        joins = [span for span in self.spans if span.name == "join"]
        return [
            Trace(join, [span for span in self.spans if (span.trace, span.parent) == (join.trace, join.id)])
            for join in joins
        ]

    def wait(self, happened: Callable[[], object], seconds: float = 20) -> None:
        """Until that is so; AssertionError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not happened():
            assert time.monotonic() < deadline, f"did not happen within {seconds} s: {self.spans}"
            time.sleep(0.02)

    def __enter__(self) -> OtlpCollector:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def read_spans(body: bytes) -> list[Span]:
    """The spans of an ``ExportTraceServiceRequest``."""
    return [
        Span(
            name=span.name,
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            began=span.start_time_unix_nano / 1e9,
            ended=span.end_time_unix_nano / 1e9,
            failed=span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
            message=span.status.message,
            attributes={pair.key: _value(pair) for pair in span.attributes},
            service={pair.key: str(_value(pair)) for pair in resource.resource.attributes}["service.name"],
        )
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _value(pair: KeyValue) -> str | bool | int:
    kind = pair.value.WhichOneof("value")
    assert kind in ("string_value", "bool_value", "int_value")
    value: str | bool | int = getattr(pair.value, kind)
    return value
