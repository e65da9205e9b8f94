"""Strangers who send garbage at the ports of a call: it goes on, and every datagram is counted."""

from __future__ import annotations

import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sft.webrtc import stun
from support.clients import AiortcClient, ClientPool, meet, settle
from support.rtp import audio
from support.server import Server, running_server
from support.wire import new_id

RATE = 100
SECONDS = 3
FLOOD_RATE = 4000
BUFFER = 1 << 22
"""Bytes: a server that is kept from running for a while loses nothing of the call."""
CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) ", re.IGNORECASE)


class Flood:
    """Sends in turn what is nothing, what looks like an ICE check, like DTLS and like a client's media."""

    def __init__(self, ports: list[tuple[str, int]], ssrc: int) -> None:
        self.ports = ports
        self.counts = [0, 0, 0, 0]
        name = (stun.USERNAME, b"somebody:else")
        self._datagrams = (
            b"\xff" + os.urandom(100),
            stun.write(stun.Kind.REQUEST, stun.BINDING, os.urandom(12), [name], b"not the password"),
            b"\x16\xfe\xfd" + os.urandom(100),
            b"\x80\x6f\x03\xe9" + bytes(4) + ssrc.to_bytes(4) + os.urandom(100),
        )

    @property
    def sent(self) -> int:
        return sum(self.counts)

    def run(self, stop: threading.Event) -> None:
        started = time.monotonic()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            while not stop.wait(0.002):
                while self.sent < (time.monotonic() - started) * FLOOD_RATE:
                    turn, kind = divmod(self.sent, 4)
                    stranger.sendto(self._datagrams[kind], self.ports[turn % len(self.ports)])
                    self.counts[kind] += 1


@contextmanager
def flooding(flood: Flood) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=flood.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def port_of(client: AiortcClient) -> tuple[str, int]:
    """The server's, for this client."""
    found = CANDIDATE.search(client.offer["sdp"])
    assert found is not None
    return found[1], int(found[2])


def dropped(server: Server) -> tuple[int, int]:
    """(of the process, of the kernel)"""
    worker = server.worker()
    return sum(worker["drops"].values()), worker["transports"]["udp"]["kernel_drops"]


@pytest.mark.parametrize("shared", [False, True], ids=["a port for each", "one port"])
def test_a_call_goes_on_through_a_flood_and_all_of_it_is_counted(
    tmp_path: Path, clients: ClientPool, shared: bool
) -> None:
    with running_server(
        tmp_path, plugins={"transport_udp": {"shared": shared, "receive_buffer": BUFFER}}
    ) as server:
        call, everybody = new_id(), [clients.make() for _ in range(2)]
        for client in everybody:
            client.join(server.url, call)
        meet(*everybody)
        ann, bob = everybody
        flood = Flood(sorted({port_of(client) for client in everybody}), ann.ssrcs["audio"])
        assert len(flood.ports) == (1 if shared else 2)
        before = dropped(server)
        with flooding(flood):
            sent = audio(ann.ssrcs["audio"], RATE * SECONDS)
            ann.start_sending(sent, RATE).result(20)
            settle(ann, bob)  # the data channels work as well
            assert flood.sent > FLOOD_RATE * SECONDS / 2
        assert [packet.payload for packet in bob.packets] == [packet.payload for packet in sent]
        assert server.participants() == 2

        def counted() -> tuple[int, int]:
            return tuple(after - then for after, then in zip(dropped(server), before, strict=True))  # type: ignore[return-value]  # two of them

        server.wait(lambda _: sum(counted()) >= flood.sent)
        of_process, of_kernel = counted()
        print(f"{flood.sent} sent; dropped: {of_process} by the process, {of_kernel} by the kernel")
        assert of_kernel >= flood.counts[0]
        assert of_process + of_kernel == flood.sent
        drops = server.drops()
        assert drops["stranger"] > of_process / 4
        reasons = {"no_peer"} if shared else {"stun_integrity", "dtls_no_path", "srtp_auth"}
        assert reasons <= drops.keys()
