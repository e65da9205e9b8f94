"""The way to the collector: OTLP over HTTP. Blocks, so it runs in a thread."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from sft_tracing.spans import Begun, Spans

TIMEOUT = 10.0
"""Seconds that sending may take with all its repetitions."""


class Collector:
    """Ends traces and sends them."""

    def __init__(self, spans: Spans, endpoint: str, headers: Mapping[str, str]) -> None:
        self._spans = spans
        self._exporter = OTLPSpanExporter(endpoint, headers=dict(headers), timeout=TIMEOUT)
        self._said = _LastWords()
        library = logging.getLogger(OTLPSpanExporter.__module__)
        library.addHandler(self._said)
        library.propagate = False  # our own log says it, rarely

    def send(self, traces: Sequence[Begun]) -> str:
        """Why these could not be sent; empty: they were."""
        spans: list[ReadableSpan] = [span for trace in traces for span in self._spans.end(trace)]
        self._said.text = ""
        if self._exporter.export(spans) is SpanExportResult.SUCCESS:
            return ""
        return self._said.text or "no reason given"

    def close(self) -> None:
        """Also ends what is being sent."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the library's


class _LastWords(logging.Handler):
    """Keeps the first complaint of the library since ``text`` was emptied: it names the cause."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = self.text or record.getMessage()
