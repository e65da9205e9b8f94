"""What ``sft-serve check`` says about UDP."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable

import pytest

from sft.plugin import BindAddress, Finding
from sft.plugin.testing import FakeServices, Received
from sft_transport_udp.factory import UdpFactory

MakeFactory = Callable[..., UdpFactory]


def failures(factory: UdpFactory) -> list[Finding]:
    return [finding for finding in factory.check() if not finding.ok]


def test_ports_in_use_are_found(make_factory: MakeFactory, free_ports: Callable[[int], range]) -> None:
    ports = free_ports(5)
    factory = make_factory(ports)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other:
        other.bind(("::1", ports[3]))
        (finding,) = failures(factory)
    assert finding.subject == "port range"
    assert f"1 cannot be bound, the first is {ports[3]}" in finding.detail


def test_an_address_of_another_machine_is_found(make_factory: MakeFactory) -> None:
    factory = make_factory(2, addresses=(BindAddress("203.0.113.77"),))
    assert "address" in [finding.subject for finding in failures(factory)]


def test_a_buffer_cut_by_the_kernel_is_found_and_logged_once(
    make_factory: MakeFactory, services: FakeServices
) -> None:
    factory = make_factory(2, receive_buffer=2**30)
    assert [finding.subject for finding in failures(factory)] == ["receive_buffer"]
    assert "net.core.rmem_max" in failures(factory)[0].detail
    factory.open(Received())
    factory.open(Received())
    ((event, fields),) = services.warned
    assert event == "transport_udp.short_buffer"
    assert fields["wanted"] == 2**30
    granted = fields["granted"]
    assert isinstance(granted, int)
    assert granted < 2**30


def test_buffers_of_zero_are_left_to_the_system(make_factory: MakeFactory) -> None:
    factory = make_factory(1, receive_buffer=0, send_buffer=0)
    assert failures(factory) == []


def test_too_few_file_descriptors_are_found(
    make_factory: MakeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (260, 260))
    assert [finding.subject for finding in failures(make_factory(5))] == ["file descriptors"]
