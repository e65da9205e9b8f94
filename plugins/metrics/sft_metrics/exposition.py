"""Prometheus' text format, version 0.0.4."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""OpenMetrics is not offered: it has no room for ``sft_calls`` next to ``sft_calls_total``."""

_UPTIME = """\
# HELP sft_uptime Seconds since the start, under the name that Wire's sftd has for it.
# TYPE sft_uptime counter
sft_uptime {seconds}
"""


def expose(registry: CollectorRegistry, uptime: float | None) -> bytes:
    """Everything; ``uptime``: also as ``sft_uptime``, a counter whose name prometheus-client would
    lengthen to ``sft_uptime_total``."""
    text = generate_latest(registry)
    return text if uptime is None else text + _UPTIME.format(seconds=uptime).encode()
