"""Prometheus metrics of sft, on the operators' listener."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sft import hookimpl
from sft.plugin import Config, GatewayServices, HttpRoutes
from sft_metrics.collector import Collector
from sft_metrics.config import MetricsConfig
from sft_metrics.exposition import CONTENT_TYPE, expose


@hookimpl
def sft_config_table() -> type[MetricsConfig]:
    return MetricsConfig


@hookimpl
def sft_http_routes(config: Config, services: GatewayServices) -> list[HttpRoutes]:
    table = config.table(MetricsConfig)
    registry = CollectorRegistry()
    registry.register(Collector(services))
    ProcessCollector(registry=registry)

    async def metrics(request: Request) -> Response:
        uptime = services.instance().uptime_seconds if table.sftd_uptime else None
        return Response(expose(registry, uptime), media_type=CONTENT_TYPE)

    return [HttpRoutes("operator", [Route(table.path, metrics)])]
