"""What a full receive buffer cost is told apart from what the kernel's filter dropped on purpose."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sft.plugin import BindAddress
from sft.plugin.testing import FakeServices, Received, UdpClient
from sft_transport_udp import overflows
from sft_transport_udp.factory import UdpFactory
from sft_transport_udp.overflows import Overflows, read_overflows
from support.lab import Lab, require_lab

MakeFactory = Callable[..., UdpFactory]


@pytest.fixture
def alone() -> Iterator[None]:
    """In a network namespace where nobody else loses anything."""
    require_lab()
    with Lab() as lab, lab.host("alone").entered():
        yield


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_flood_of_garbage_and_a_full_buffer_are_told_apart(
    host: str, shared: bool, alone: None, make_factory: MakeFactory
) -> None:
    factory = make_factory(1, addresses=(BindAddress(host),), receive_buffer=8192, shared=shared)
    client = UdpClient(factory.open(Received()).candidates[0])
    for _ in range(300):
        client.send(b"\xffgarbage")
    stats = factory.stats()
    assert (stats.kernel_drops, stats.buffer_drops) == (300, 0)
    for _ in range(200):
        client.send(b"\x80" * 1100)  # which nobody reads
    stats = factory.stats()
    assert stats.buffer_drops == stats.kernel_drops - 300 > 100
    assert factory.stats() == stats
    client.close()


def test_no_more_is_told_than_our_own_sockets_dropped_nor_than_the_namespace_lost() -> None:
    lost = iter([1000, 1040, 1043, 1043])
    ours = Overflows(lambda: next(lost))
    assert ours.among(7) == 7, "others lost 40 in the meantime"
    assert ours.among(20) == 10, "of 13 the others were garbage"
    assert ours.among(500) == 10, "all garbage"


def test_a_kernel_that_tells_nothing_leaves_all_that_were_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overflows, "_IPV4", "/proc/none")
    assert read_overflows() is None
    assert Overflows().among(5) == 5


def test_a_kernel_without_ipv6_tells_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overflows, "_IPV6", "/proc/none")
    assert read_overflows() is not None


@pytest.mark.parametrize(
    ("table", "asked"),
    [({}, 212992), ({"shared": True}, 4194304), ({"shared": True, "receive_buffer": 65536}, 65536)],
)
def test_a_port_for_all_asks_for_a_larger_buffer(
    table: dict[str, object], asked: int, make_factory: MakeFactory, services: FakeServices
) -> None:
    (finding,) = [one for one in make_factory(1, **table).check() if one.subject == "receive_buffer"]
    assert finding.detail.startswith(f"wanted {asked}, granted ")
