"""From a join to a trace: one span for the whole, one for each of its phases."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sft import __version__
from sft.plugin import JoinRecord, PhaseRecord

SHORT = 8
"""Digits that are left of a hash, as in the live view. Clients' ids are hashes; a shorter id stays whole."""

FINE = ("established", "abandoned")
"""Outcomes that are nobody's failure."""

_propagator = TraceContextTextMapPropagator()


@attrs.frozen
class Begun:
    """A trace whose root has begun."""

    join: JoinRecord
    root: Span


class Spans:
    """Makes spans; sampled by the trace's id alone, so a client's word for its own trace does not count."""

    def __init__(self, service_name: str, sample_ratio: float) -> None:
        self._ended = _Ended()
        provider = TracerProvider(
            resource=Resource.create({"service.name": service_name, "service.version": __version__}),
            sampler=TraceIdRatioBased(sample_ratio),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._ended)
        self._tracer: Tracer = provider.get_tracer("sft_tracing", __version__)

    def begin(self, join: JoinRecord) -> Begun | None:
        """The trace of a join, for :meth:`end`; None: it is not sampled."""
        parent = _propagator.extract({"traceparent": join.traceparent}, Context())
        root = self._tracer.start_span("join", parent, SpanKind.SERVER, start_time=_ns(join.began))
        return Begun(join, root) if root.is_recording() else None

    def end(self, begun: Begun) -> list[ReadableSpan]:
        """All of the trace. Of one thread only."""
        join, root = begun.join, begun.root
        root.set_attributes(_attributes(join))
        within = set_span_in_context(root, Context())
        for phase in join.phases:
            self._add(phase, within)
        if join.outcome not in FINE:
            root.set_status(Status(StatusCode.ERROR, join.outcome))
        root.end(_ns(join.ended))
        return self._ended.take()

    def _add(self, phase: PhaseRecord, within: Context) -> None:
        span = self._tracer.start_span(phase.phase, within, start_time=_ns(phase.began))
        if not phase.done:
            span.set_status(Status(StatusCode.ERROR, "the join ended before it was done"))
        span.end(_ns(phase.ended))


class _Ended(SpanProcessor):
    """Collects spans that have ended."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)

    def take(self) -> list[ReadableSpan]:
        spans, self._spans = self._spans, []
        return spans


def _attributes(join: JoinRecord) -> Mapping[str, str | bool | int]:
    """Nobody is named: what identifies is shortened."""
    attributes: dict[str, str | bool | int] = {
        "sft.call": join.call[:SHORT],
        "sft.participant": join.participant.user[:SHORT],
        "sft.outcome": join.outcome,
        "sft.update": join.update,
    }
    if join.worker is not None:
        attributes["sft.worker"] = join.worker
    if join.path.transport:
        attributes["network.transport"] = join.path.transport
        attributes["sft.path.local"] = join.path.local
        attributes["sft.path.remote"] = join.path.remote
    return attributes


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
