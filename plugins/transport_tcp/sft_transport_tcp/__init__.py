"""ICE-TCP transport for sft (RFC 6544): clients whose network drops UDP connect here."""

from __future__ import annotations

from sft import hookimpl
from sft.plugin import Config, Services, TransportFactory
from sft_transport_tcp.config import TcpConfig
from sft_transport_tcp.factory import TcpFactory
from sft_transport_tcp.shared import SharedTcpFactory


@hookimpl
def sft_config_table() -> type[TcpConfig]:
    return TcpConfig


@hookimpl
def sft_transports(config: Config, services: Services) -> list[TransportFactory]:
    table = config.table(TcpConfig)
    return [SharedTcpFactory(table, services) if table.shared else TcpFactory(table, services)]
