"""``segments = true``: what a socket sends waits for the end of the turn, and leaves in few system calls."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from sft.model import Drop, Drops
from sft.plugin import BindAddress
from sft.plugin.testing import FakeServices, Received, UdpClient
from sft_transport_udp import outbox as outbox_module
from sft_transport_udp.factory import UdpFactory
from sft_transport_udp.outbox import MAX_SEGMENTS, Outbox, Turn

LOCAL = (BindAddress("127.0.0.1"),)


class Spy:
    """A socket that tells how it was used."""

    def __init__(self, bound: socket.socket) -> None:
        self._bound = bound
        self.calls: list[int] = []
        self.error: OSError | None = None

    def sendmsg(self, datagrams: list[bytes], control: list, flags: int, address) -> None:
        if self.error is not None:
            raise self.error
        self.calls.append(len(datagrams))
        self._bound.sendmsg(datagrams, control, flags, address)

    def sendto(self, data: bytes, address) -> None:
        self.calls.append(1)
        self._bound.sendto(data, address)


@pytest.fixture
def theirs() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(5)
        yield bound


@pytest.fixture
def spy() -> Iterator[Spy]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield Spy(bound)


@pytest.fixture
def outbox(spy: Spy, services: FakeServices) -> Outbox:
    return Outbox(spy, services.drops, Turn(services).add)


def counted(drops: Drops) -> dict[Drop, int]:
    return {reason: count for reason, count in drops.counts.items() if count}


@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ([100], [1]),
        ([100, 100, 100], [3]),
        ([100, 60, 60, 100], [1, 2, 1]),
        ([1200] * (MAX_SEGMENTS + 2), [MAX_SEGMENTS, 2]),
    ],
)
def test_datagrams_arrive_as_they_were_sent(
    sizes: list[int],
    calls: list[int],
    outbox: Outbox,
    spy: Spy,
    theirs: socket.socket,
    services: FakeServices,
) -> None:
    sent = [bytes((number,)) * size for number, size in enumerate(sizes)]
    for data in sent:
        outbox.send(data, theirs.getsockname())
    assert spy.calls == [], "the turn has not ended"
    services.poll()
    assert [theirs.recv(2000) for _ in sizes] == sent
    assert spy.calls == calls
    assert counted(services.drops) == {}


def test_a_way_out_that_takes_no_segments_gets_them_one_by_one_from_then_on(
    outbox: Outbox, spy: Spy, theirs: socket.socket, services: FakeServices
) -> None:
    for error in (OSError(5, "no checksums"), AssertionError("not tried again")):
        spy.error = error
        for number in range(3):
            outbox.send(bytes((number,)), theirs.getsockname())
        services.poll()
        assert [theirs.recv(2000)[0] for _ in range(3)] == [0, 1, 2]
    assert counted(services.drops) == {}


def test_what_could_not_be_sent_is_counted(outbox: Outbox, spy: Spy, services: FakeServices) -> None:
    spy.error = BlockingIOError()
    for _ in range(3):
        outbox.send(b"x", ("127.0.0.1", 9))
    outbox.send(b"x", ("127.0.0.1", 0))
    services.poll()
    assert counted(services.drops) == {Drop.SEND_BLOCKED: 3, Drop.SEND_FAILED: 1}


@pytest.mark.parametrize("shared", [False, True])
def test_a_transport_that_closes_has_sent_what_it_was_given(
    shared: bool, make_factory: Callable[..., UdpFactory]
) -> None:
    """A goodbye is given to the transport just before it is closed."""
    factory = make_factory(1, addresses=LOCAL, segments=True, shared=shared)
    transport = factory.open(Received())
    client = UdpClient(transport.candidates[0])
    base = transport.ends[0][0]
    base.send(b"goodbye", client.socket.getsockname())
    transport.close()
    factory.close()
    assert client.receive() == b"goodbye"
    client.close()


@pytest.mark.parametrize("shared", [False, True])
def test_a_kernel_without_segments_is_found_at_the_start_and_each_datagram_leaves_alone(
    shared: bool,
    make_factory: Callable[..., UdpFactory],
    services: FakeServices,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Linux before 4.18 takes no notice of the segments' size: two datagrams would leave as one."""
    monkeypatch.setattr(outbox_module, "UDP_SEGMENT", 9999)
    factory = make_factory(1, addresses=LOCAL, segments=True, shared=shared)
    ((event, fields),) = services.warned
    assert event == "transport_udp.no_segments"
    assert fields["needed"] == "4.18"
    transport = factory.open(Received())
    client = UdpClient(transport.candidates[0])
    base = transport.ends[0][0]
    for data in (b"one", b"two"):
        base.send(data, client.socket.getsockname())
        assert client.receive() == data
    client.close()


def test_a_kernel_without_segments_is_no_fault_where_none_are_wanted(
    make_factory: Callable[..., UdpFactory], services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "UDP_SEGMENT", 9999)
    make_factory(1)
    assert services.warned == []
