"""The table ``[plugins.transport_tcp]``, what it offers, and what ``sft-serve check`` says about it."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from sft.config import parse_config, read_plugin_tables
from sft.errors import ConfigError
from sft.plugin import BindAddress, Finding, PortsExhausted
from sft.plugin.testing import FakeServices, Received
from sft_transport_tcp.config import TcpConfig
from sft_transport_tcp.factory import TcpFactory
from sft_transport_tcp.shared import SharedTcpFactory

MakeFactory = Callable[..., SharedTcpFactory]

# What Chromium gave its own relayed candidates; for TLS even less.
CHROMIUM_RELAYED_OVER_UDP = 41885439
CHROMIUM_RELAYED_OVER_TCP = 25108479


def read(toml: str) -> TcpConfig:
    config = parse_config("[plugins.transport_tcp]\n" + toml)
    return read_plugin_tables(config, {"transport_tcp": TcpConfig}).table(TcpConfig)


def failures(factory: SharedTcpFactory | TcpFactory) -> list[Finding]:
    return [finding for finding in factory.check() if not finding.ok]


def test_the_defaults_need_no_table() -> None:
    assert read("") == TcpConfig()
    assert TcpConfig().shared


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ('ports = "none"', "plugins.transport_tcp.ports: must be a range of ports"),
        ("pending = 0", "plugins.transport_tcp.pending: must be >= 1"),
        ("queue_bytes = 100", "plugins.transport_tcp.queue_bytes: must be >= 4096"),
        ("queue = 1", "plugins.transport_tcp.queue: unknown key; did you mean 'queue_bytes'?"),
    ],
)
def test_mistakes_are_named_with_their_path(toml: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(toml)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("shared", [True, False])
def test_candidates_are_passive_and_come_after_everything_on_udp(
    make_factory: MakeFactory, shared: bool
) -> None:
    first, second = make_factory(1, shared=shared).open(Received()).candidates
    assert [(one.protocol, one.kind, one.tcptype) for one in (first, second)] == [
        ("tcp", "host", "passive")
    ] * 2
    assert CHROMIUM_RELAYED_OVER_TCP < second.priority < first.priority < CHROMIUM_RELAYED_OVER_UDP
    assert first.foundation != second.foundation


def test_each_worker_shares_a_port_of_its_own(free_ports: Callable[[int], range]) -> None:
    ports = free_ports(3)
    for worker, port in enumerate(ports):
        services = FakeServices(worker, len(ports))
        config = TcpConfig(ports=f"{ports[0]}-{ports[-1]}", addresses=(BindAddress("127.0.0.1"),))
        factory = SharedTcpFactory(config, services)
        assert {factory.open(Received()).candidates[0].port for _ in range(3)} == {port}
        factory.close()
        services.close()


def test_a_worker_without_a_port_takes_nobody(free_ports: Callable[[int], range]) -> None:
    services = FakeServices(1, 2)
    config = TcpConfig(ports=str(free_ports(1)[0]), addresses=(BindAddress("127.0.0.1"),))
    factory = SharedTcpFactory(config, services)
    assert factory.stats().ports_free == 0
    with pytest.raises(PortsExhausted):
        factory.open(Received())
    assert [finding.subject for finding in failures(factory)] == ["port range"]
    services.close()


@pytest.mark.parametrize("shared", [True, False])
def test_a_port_in_use_is_found(
    make_factory: MakeFactory, free_ports: Callable[[int], range], shared: bool
) -> None:
    ports = free_ports(1)
    factory = make_factory(ports, shared=shared)
    assert failures(factory) == []
    with socket.create_server(("127.0.0.1", ports[0])):
        assert [finding.subject for finding in failures(factory)] == ["port range"]
        with pytest.raises(PortsExhausted):
            factory.open(Received())
    factory.open(Received())


def test_a_port_can_be_bound_again_although_its_last_connection_lingers(
    make_factory: MakeFactory, services: FakeServices
) -> None:
    factory = make_factory(1, shared=False)
    for _ in range(3):
        received = Received()
        transport = factory.open(received)
        candidate = transport.candidates[0]
        with socket.create_connection((candidate.host, candidate.port)) as client:
            client.sendall(b"\0\1x")
            services.poll_until(lambda received=received: received.payloads, "it came")  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
            transport.close()
