"""The laboratory itself: what its hosts reach, and what its middleboxes change."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.lab import Host, Lab

SERVER, SERVER_6, GATE, ANN, ANN_6 = "203.0.113.2", "2001:db8:1::2", "192.0.2.2", "10.0.0.2", "2001:db8:2::2"


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Ann, a gate, the internet, a server."""
    with Lab() as lab:
        internet, server, gate, ann = map(lab.host, ("internet", "server", "gate", "ann"))
        lab.connect(server, internet, f"{SERVER}/24", f"{SERVER_6}/64")
        lab.connect(gate, internet, f"{GATE}/24", "2001:db8:3::2/64")
        lab.connect(ann, gate, f"{ANN}/24", f"{ANN_6}/64")
        lab.route(internet, "2001:db8:2::/64", "2001:db8:3::2")
        yield lab


def udp(host: Host, address: str, port: int = 0) -> socket.socket:
    with host.entered():
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(2)
    made.bind((address, port))
    return made


@pytest.fixture
def ends(lab: Lab) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket of Ann's and one of the server's."""
    with udp(lab.hosts["ann"], ANN) as ann, udp(lab.hosts["server"], SERVER, 5000) as server:
        yield ann, server


def seen_from(ann: socket.socket, server: socket.socket) -> tuple[str, int]:
    """The address of Ann's that the server sees; its answer arrives."""
    ann.sendto(b"question", server.getsockname()[:2])
    data, address = server.recvfrom(100)
    assert data == b"question"
    server.sendto(b"answer", address)
    assert ann.recv(100) == b"answer"
    return address[:2]


def is_lost(ann: socket.socket, server: socket.socket) -> bool:
    server.setblocking(False)
    try:
        ann.sendto(b"question", server.getsockname()[:2])
        server.recv(100)  # a veth delivers before sendto returns
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        server.settimeout(2)


def test_hosts_reach_each_other_by_ipv6(lab: Lab) -> None:
    with udp(lab.hosts["ann"], ANN_6) as ann, udp(lab.hosts["server"], SERVER_6, 5000) as server:
        assert seen_from(ann, server) == ann.getsockname()[:2]


def test_a_thread_comes_back_from_a_host(lab: Lab) -> None:
    here = os.readlink("/proc/thread-self/ns/net")
    with lab.hosts["ann"].entered():
        assert os.readlink("/proc/thread-self/ns/net") != here
    assert os.readlink("/proc/thread-self/ns/net") == here


def test_a_nat_gives_other_ports_when_it_forgets(lab: Lab, ends: tuple[socket.socket, socket.socket]) -> None:
    gate = lab.hosts["gate"]
    gate.translate("20000-20999")
    host, before = seen_from(*ends)
    assert host == GATE
    assert 20000 <= before <= 20999
    gate.translate("30000-30999")
    assert seen_from(*ends) == (GATE, before)
    gate.forget_connections()
    host, after = seen_from(*ends)
    assert host == GATE
    assert 30000 <= after <= 30999


def test_one_to_one_nat_maps_both_ways(lab: Lab) -> None:
    gate, ann, server = lab.hosts["gate"], lab.hosts["ann"], lab.hosts["server"]
    gate.map_one_to_one(outside=GATE, inside=ANN)
    with udp(server, SERVER) as outer, udp(ann, ANN, 6000) as inner:
        outer.sendto(b"question", (GATE, 6000))
        data, address = inner.recvfrom(100)
        assert (data, address) == (b"question", outer.getsockname())
        inner.sendto(b"answer", address)
        assert outer.recvfrom(100) == (b"answer", (GATE, 6000))


def test_a_firewall_drops_what_it_does_not_know(lab: Lab, ends: tuple[socket.socket, socket.socket]) -> None:
    gate = lab.hosts["gate"]
    lab.route(lab.hosts["internet"], "10.0.0.0/24", GATE)
    gate.forward_only("tcp dport 443")
    assert is_lost(*ends)
    gate.forward_only("udp dport 5000")
    assert seen_from(*ends) == ends[0].getsockname()
    gate.forward_only()  # ends running connections, too
    assert is_lost(*ends)
    gate.forward_all()
    assert seen_from(*ends) == ends[0].getsockname()


def test_nothing_is_left_of_a_lab(lab: Lab) -> None:
    with Lab() as other:
        namespace = other.host("alone").namespace
        with other.hosts["alone"].entered():
            sleeper = subprocess.Popen(["sleep", "1000"])
    assert sleeper.wait(10) == -signal.SIGKILL
    assert namespace not in os.listdir("/run/netns")


def test_the_next_lab_takes_away_what_a_killed_test_left() -> None:
    script = """
import os, signal
from support.lab import Lab
print(Lab().host("left").namespace, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    folder = os.path.dirname(os.path.dirname(__file__))
    killed = subprocess.run(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": folder},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    namespace = killed.stdout.strip()
    assert namespace in os.listdir("/run/netns")
    with Lab():
        assert namespace not in os.listdir("/run/netns")
