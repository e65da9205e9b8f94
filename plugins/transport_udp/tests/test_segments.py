"""Several datagrams by one system call."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sft.plugin import BindAddress
from sft.plugin.testing import FakeServices, Received
from sft_transport_udp import segments as segments_module
from sft_transport_udp.factory import UdpFactory

LOCAL = (BindAddress("127.0.0.1"),)


@pytest.mark.parametrize("shared", [False, True])
def test_a_kernel_without_segments_is_noted_at_the_start(
    shared: bool,
    make_factory: Callable[..., UdpFactory],
    services: FakeServices,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Linux before 4.18 takes no notice of the segments' size: two datagrams would leave as one."""
    monkeypatch.setattr(segments_module, "UDP_SEGMENT", 9999)
    factory = make_factory(1, addresses=LOCAL, shared=shared)
    ((event, fields),) = services.logged
    assert event == "transport_udp.no_segments"
    assert fields["needed"] == "4.18"
    assert services.warned == [], "datagrams leave one by one, as ever"
    assert factory.open(Received()).ends[0][0].segments is False


@pytest.mark.parametrize("shared", [False, True])
def test_engines_may_use_segments_where_the_kernel_has_them(
    shared: bool, make_factory: Callable[..., UdpFactory]
) -> None:
    assert make_factory(1, addresses=LOCAL, shared=shared).open(Received()).ends[0][0].segments is True


def test_a_kernel_without_segments_is_no_fault_where_none_are_wanted(
    make_factory: Callable[..., UdpFactory], services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments_module, "UDP_SEGMENT", 9999)
    factory = make_factory(1, addresses=LOCAL, segments=False)
    assert services.logged == []
    assert factory.open(Received()).ends[0][0].segments is False
