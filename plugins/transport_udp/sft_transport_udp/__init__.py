"""UDP transport for sft: one port number per participant, bound on every address."""

from __future__ import annotations

from sft import hookimpl
from sft.plugin import Config, Services, TransportFactory
from sft_transport_udp.config import UdpConfig
from sft_transport_udp.factory import UdpFactory


@hookimpl
def sft_config_table() -> type[UdpConfig]:
    return UdpConfig


@hookimpl
def sft_transports(config: Config, services: Services) -> list[TransportFactory]:
    return [UdpFactory(config.table(UdpConfig), services)]
