"""What never reaches the process, and that nothing else is missing."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import pytest

from sft.errors import BadPacket
from sft.plugin.testing import FakeServices, Received, UdpClient
from sft.webrtc import stun
from sft.webrtc.demux import Kind, classify
from sft_transport_udp import ports as ports_module
from sft_transport_udp.factory import UdpFactory

MakeFactory = Callable[..., UdpFactory]
COOKIE = b"\x21\x12\xa4\x42"
END = b"\x80the end"


def is_for_a_peer(data: bytes) -> bool:
    """What peers themselves say."""
    kind = classify(data)
    if kind is Kind.STUN:
        try:
            stun.parse_untrusted(data)
        except BadPacket as bad:
            return "not STUN" not in str(bad) and "short header" not in str(bad)
    if kind is Kind.DTLS:
        return data[1:2] == b"\xfe"
    return kind in (Kind.STUN, Kind.RTP, Kind.RTCP)


@pytest.mark.parametrize("shared", [False, True])
def test_the_kernel_drops_what_no_peer_takes_and_nothing_else(
    make_factory: MakeFactory, services: FakeServices, shared: bool
) -> None:
    factory = make_factory(1, shared=shared, receive_buffer=1 << 20)
    received = Received()
    check = b"\0\1\0\0" + COOKIE + os.urandom(12)
    services.routes[check] = received
    transport = factory.open(received)
    firsts = [bytes([first, second]) for first in range(256) for second in (0, 1, 100, 200, 254)]
    datagrams = [first + rest for first in firsts for rest in (bytes(18), b"\0\0" + COOKIE + bytes(12))]
    datagrams += [b"", *(bytes([first]) for first in range(4)), b"\0\1\0\0" + COOKIE[:3]]
    for candidate in transport.candidates:
        received.datagrams.clear()
        dropped = factory.stats().kernel_drops
        client = UdpClient(candidate)
        client.send(check)
        services.poll_until(lambda: received.payloads, "the check came")
        received.datagrams.clear()
        for data in datagrams:
            client.send(data)
            services.poll()
        client.send(END)
        services.poll_until(lambda: END in received.payloads, "the last one came")
        expected = [data for data in datagrams if is_for_a_peer(data)]
        assert received.payloads == [*expected, END]
        assert factory.stats().kernel_drops - dropped == len(datagrams) - len(expected) > 1000
        client.close()


def test_a_kernel_without_filters_is_told_of_once(
    make_factory: MakeFactory, services: FakeServices, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(at: socket.socket) -> bool:
        return False

    monkeypatch.setattr(ports_module, "drop_garbage", refuse)
    received = Received()
    factory = make_factory(2)
    client = UdpClient(factory.open(received).candidates[0])
    factory.open(Received())
    assert services.warned == [("transport_udp.no_filter", {})]
    client.send(b"hello")
    services.poll_until(lambda: received.payloads == [b"hello"], "it came all the same")
    client.close()
