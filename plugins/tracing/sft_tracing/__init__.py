"""OpenTelemetry traces of joins.

The libraries that make and send them are imported where they are needed: in the gateway, if there is a
collector to send to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sft import hookimpl
from sft.plugin import CommonServices, Config, GatewayServices, HttpRoutes, JoinRecord, PluginNursery
from sft_tracing.config import TracingConfig, read_headers
from sft_tracing.sender import Sender

if TYPE_CHECKING:
    from sft_tracing.spans import Begun

COUNTS = """\
# HELP sft_traces_total Traces of joins, by what became of them.
# TYPE sft_traces_total counter
sft_traces_total{{result="sent"}} {sent}
sft_traces_total{{result="failed"}} {failed}
sft_traces_total{{result="dropped"}} {dropped}
"""


class TracingPlugin:
    """The plugin: one object per process."""

    def __init__(self) -> None:
        self._table = TracingConfig()
        self._headers: Mapping[str, str] = {}
        self._sender: Sender[Begun] | None = None

    @hookimpl
    def sft_config_table(self) -> type[TracingConfig]:
        return TracingConfig

    @hookimpl
    def sft_configure(self, config: Config) -> None:
        self._table = config.table(TracingConfig)
        if self._table.endpoint:
            self._headers = read_headers(config, self._table.headers_file)

    @hookimpl
    def sft_run(self, nursery: PluginNursery, services: CommonServices) -> None:
        if services.role == "gateway" and self._table.endpoint:
            nursery.start_soon(self._run, services)

    @hookimpl
    def sft_join_ended(self, join: JoinRecord) -> None:
        if self._sender is not None:
            self._sender.take(join)

    @hookimpl
    def sft_http_routes(self, config: Config, services: GatewayServices) -> list[HttpRoutes]:
        async def counts(request: Request) -> Response:
            sender = self._sender
            if sender is None:
                return PlainTextResponse("no traces are sent\n", 404)
            text = COUNTS.format(sent=sender.sent, failed=sender.failed, dropped=sender.dropped)
            return PlainTextResponse(text, media_type="text/plain; version=0.0.4")

        return [HttpRoutes("operator", [Route("/tracing", counts)])]

    async def _run(self, services: CommonServices) -> None:
        from sft_tracing.collector import Collector
        from sft_tracing.spans import Spans

        table = self._table
        spans = Spans(table.service_name, table.sample_ratio)
        collector = Collector(spans, table.endpoint, self._headers)
        self._sender = Sender(spans.begin, collector.send, services)
        try:
            await self._sender.run()
        finally:
            self._sender = None
            collector.close()


plugin = TracingPlugin()
