"""The table ``[plugins.transport_udp]``, read by the core."""

from __future__ import annotations

import pytest

from sft.config import parse_config, read_plugin_tables
from sft.errors import ConfigError
from sft.plugin import BindAddress, parse_ports
from sft_transport_udp.config import UdpConfig


def read(toml: str) -> UdpConfig:
    config = parse_config("[plugins.transport_udp]\n" + toml)
    return read_plugin_tables(config, {"transport_udp": UdpConfig}).table(UdpConfig)


def test_the_defaults_need_no_table() -> None:
    assert read("") == UdpConfig()
    assert len(parse_ports(UdpConfig().ports)) == 1000


def test_addresses_with_and_without_a_nat() -> None:
    table = read('addresses = [{bind = "10.0.0.5", advertise = "203.0.113.5"}, {bind = "2001:db8::5"}]')
    assert table.addresses == (BindAddress("10.0.0.5", "203.0.113.5"), BindAddress("2001:db8::5"))


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ('ports = "40000"\nport = 1', "plugins.transport_udp.port: unknown key; did you mean 'ports'?"),
        ('ports = "5-4"', "plugins.transport_udp.ports: must be a range of ports such as '40000-40999'"),
        ('ports = "1-70000"', "plugins.transport_udp.ports: must be a range of ports"),
        ('ports = "many"', "plugins.transport_udp.ports: must be a range of ports"),
        ("ports = 40000", "plugins.transport_udp.ports: must be a string, not 40000 (an integer)"),
        ('addresses = "all"', "plugins.transport_udp.addresses: must be a list, not 'all'"),
        ("addresses = []", "plugins.transport_udp.addresses: must not be empty"),
        ('addresses = [{advertise = "203.0.113.5"}]', "plugins.transport_udp.addresses[0].bind: is missing"),
        ('addresses = [{bind = "eth0"}]', "plugins.transport_udp.addresses[0].bind: must be an IP address"),
        ('addresses = [{bind = "fe80::1%eth0"}]', "without a zone"),
        ('addresses = [{bind = "0.0.0.0"}]', "addresses[0].advertise: must be given with bind = '0.0.0.0'"),
        ('addresses = [{bind = "::1", advertise = "203.0.113.5"}]', "must both be IPv4 or both be IPv6"),
        ('addresses = [{bind = "::1"}, {bind = "::1"}]', "must not name one twice"),
        ("receive_buffer = -1", "plugins.transport_udp.receive_buffer: must be >= 0"),
        ('receive_buffer = "much"', "plugins.transport_udp.receive_buffer: must be an integer, not 'much'"),
    ],
)
def test_mistakes_are_named_with_their_path(toml: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(toml)
    assert complaint in str(caught.value)
