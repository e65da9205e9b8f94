"""Several datagrams by one system call."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from sft.plugin import BindAddress
from sft.plugin.testing import FakeServices, Received, UdpClient
from sft_transport_udp import segments as segments_module
from sft_transport_udp.factory import UdpFactory
from sft_transport_udp.segments import Segments

LOCAL = (BindAddress("127.0.0.1"),)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("sizes", [[100], [100, 100, 100], [100, 100, 60], [1200] * 16])
def test_datagrams_arrive_as_if_each_was_sent_alone(
    sizes: list[int], shared: bool, make_factory: Callable[..., UdpFactory]
) -> None:
    transport = make_factory(1, addresses=LOCAL, shared=shared).open(Received())
    client = UdpClient(transport.candidates[0])
    datagrams = [bytes((number,)) * size for number, size in enumerate(sizes)]
    transport.ends[0][0].send_segments(b"".join(datagrams), sizes[0], client.socket.getsockname())
    assert [client.receive() for _ in sizes] == datagrams
    client.close()


@pytest.mark.parametrize(("error", "tries"), [(errno.EIO, 1), (errno.EOPNOTSUPP, 1), (errno.ENETUNREACH, 2)])
def test_a_way_out_that_takes_no_segments_is_not_tried_again(error: int, tries: int) -> None:
    """An address that cannot be reached says nothing about the others."""

    class Failing:
        tried = 0

        def sendmsg(self, *arguments: object) -> None:
            self.tried += 1
            raise OSError(error, "no way")

    bound = Failing()
    segments = Segments(bound)
    for _ in range(2):
        with pytest.raises(OSError, match="no"):
            segments.send(b"two" * 2, 3, ("127.0.0.1", 9))
    assert bound.tried == tries


@pytest.mark.parametrize("shared", [False, True])
def test_a_kernel_without_segments_is_found_at_the_start(
    shared: bool,
    make_factory: Callable[..., UdpFactory],
    services: FakeServices,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Linux before 4.18 takes no notice of the segments' size: two datagrams would leave as one."""
    monkeypatch.setattr(segments_module, "UDP_SEGMENT", 9999)
    factory = make_factory(1, addresses=LOCAL, shared=shared)
    ((event, fields),) = services.warned
    assert event == "transport_udp.no_segments"
    assert fields["needed"] == "4.18"
    assert factory.open(Received()).ends[0][0].send_segments is None


def test_a_kernel_without_segments_is_no_fault_where_none_are_wanted(
    make_factory: Callable[..., UdpFactory], services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments_module, "UDP_SEGMENT", 9999)
    factory = make_factory(1, addresses=LOCAL, segments=False)
    assert services.warned == []
    assert factory.open(Received()).ends[0][0].send_segments is None
