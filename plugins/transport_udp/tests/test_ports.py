"""Which port a participant gets, and when it is free again."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft.plugin import BindAddress, PortsExhausted, TransportError
from sft.plugin.testing import FakeServices, Received
from sft_transport_udp import ports as ports_module
from sft_transport_udp.config import UdpConfig
from sft_transport_udp.factory import UdpFactory
from support.factories import watching_only

MakeFactory = Callable[..., UdpFactory]


@settings(deadline=None)
@given(
    st.integers(1, 60000).flatmap(lambda low: st.tuples(st.just(low), st.integers(low, 65535))),
    st.integers(1, 64),
)
def test_workers_share_the_whole_range_evenly_and_disjointly(span: tuple[int, int], workers: int) -> None:
    config = UdpConfig(ports=f"{span[0]}-{span[1]}", addresses=(BindAddress("127.0.0.1"),))
    slices = [config.slice_of(worker, workers) for worker in range(workers)]
    ports = [port for part in slices for port in part]
    assert ports == list(range(span[0], span[1] + 1))
    assert max(map(len, slices)) - min(map(len, slices)) <= 1


def test_each_participant_gets_one_number_on_every_address(make_factory: MakeFactory) -> None:
    transport = make_factory(3).open(Received())
    assert [(one.host, one.port) for one in transport.candidates] == [
        ("127.0.0.1", transport.port),
        ("::1", transport.port),
    ]


def test_a_freed_port_rests_until_all_others_had_their_turn(make_factory: MakeFactory) -> None:
    factory = make_factory(4)
    used = []
    for _ in range(8):
        transport = factory.open(Received())
        used.append(transport.port)
        transport.close()
    assert len(set(used[:4])) == 4
    assert used[4:] == used[:4]


def test_ports_of_other_programs_are_passed_over_and_come_back(
    make_factory: MakeFactory, free_ports: Callable[[int], range]
) -> None:
    ports = free_ports(3)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as other,
    ):
        one.bind(("127.0.0.1", ports[0]))
        other.bind(("::1", ports[2]))
        factory = make_factory(ports)
        first = factory.open(Received())
        assert first.port == ports[1]
        with pytest.raises(PortsExhausted, match="all of 3 UDP ports"):
            factory.open(Received())
    assert {factory.open(Received()).port, factory.open(Received()).port} == {ports[0], ports[2]}


def test_a_closed_port_can_be_bound_by_anybody_at_once(make_factory: MakeFactory) -> None:
    transport = make_factory(1).open(Received())
    transport.close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", transport.port))


def test_an_address_this_machine_does_not_have_is_not_exhaustion(
    make_factory: MakeFactory, services: FakeServices
) -> None:
    factory = make_factory(2, addresses=(BindAddress("127.0.0.1"), BindAddress("203.0.113.77")))
    for _ in range(3):
        with pytest.raises(TransportError, match=r"203\.0\.113\.77") as caught:
            factory.open(Received())
        assert not isinstance(caught.value, PortsExhausted)
    assert factory.stats().ports_free == 2
    assert not services.watched


def test_running_out_of_descriptors_frees_what_was_bound(
    make_factory: MakeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound: list[socket.socket] = []
    real_bind = ports_module.bind_udp

    def bind_until_full(address: str, port: int) -> socket.socket:
        if bound:
            raise OSError(errno.EMFILE, "Too many open files")
        bound.append(real_bind(address, port))
        return bound[0]

    factory = make_factory(2)
    monkeypatch.setattr(ports_module, "bind_udp", bind_until_full)
    with pytest.raises(TransportError, match="Too many open files"):
        factory.open(Received())
    assert bound[0].fileno() == -1
    assert factory.stats().ports_free == 2


def test_two_workers_of_one_range_never_meet(free_ports: Callable[[int], range]) -> None:
    ports = free_ports(4)
    both = [FakeServices(worker, 2) for worker in range(2)]
    config = UdpConfig(ports=f"{ports[0]}-{ports[-1]}", addresses=(BindAddress("127.0.0.1"),))
    factories = [UdpFactory(config, services) for services in both]
    taken = [factory.open(Received()).port for factory in factories for _ in range(2)]
    assert taken == list(ports)
    for factory, services in zip(factories, both, strict=True):
        with pytest.raises(PortsExhausted):
            factory.open(Received())
        factory.close()
        services.close()


def test_more_workers_than_ports_leaves_some_without(free_ports: Callable[[int], range]) -> None:
    services = FakeServices(0, 2)
    port = free_ports(1)[0]
    factory = UdpFactory(UdpConfig(ports=str(port), addresses=(BindAddress("127.0.0.1"),)), services)
    with pytest.raises(PortsExhausted):
        factory.open(Received())
    assert [finding.ok for finding in factory.check() if finding.subject == "port range"] == [False]
    services.close()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("watched", [0, 1])
def test_a_socket_that_cannot_be_watched_gives_its_port_back(
    make_factory: MakeFactory,
    services: FakeServices,
    monkeypatch: pytest.MonkeyPatch,
    shared: bool,
    watched: int,
) -> None:
    factory = make_factory(1, shared=shared)
    before = factory.stats()
    with monkeypatch.context() as patch:
        patch.setattr(services, "watch", watching_only(watched, services))
        with pytest.raises(OSError, match="No space left"):
            factory.open(Received())
    assert (factory.stats(), services.watched) == (before, {})
    factory.open(Received())
    assert len(services.watched) == 2
