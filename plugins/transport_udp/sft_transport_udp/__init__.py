"""UDP transport for sft: a port per participant or one for all, bound on every address."""

from __future__ import annotations

from sft import hookimpl
from sft.plugin import Config, Services, TransportFactory
from sft_transport_udp.config import UdpConfig
from sft_transport_udp.factory import UdpFactory
from sft_transport_udp.shared import SharedUdpFactory


@hookimpl
def sft_config_table() -> type[UdpConfig]:
    return UdpConfig


@hookimpl
def sft_transports(config: Config, services: Services) -> list[TransportFactory]:
    table = config.table(UdpConfig)
    return [SharedUdpFactory(table, services) if table.shared else UdpFactory(table, services)]
