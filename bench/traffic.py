"""What the benchmarks share: a process that sends SRTP at a rate and reads away what comes back."""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.synchronize
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from pylibsrtp import Policy, Session

KEY = bytes(range(28))
"""AES-128-GCM master key and salt, the same in every direction."""

SSRC = 0x5EED
HEADER = struct.Struct("!BBHII")
EXTENSIONS = bytes.fromhex("bede0003220000f031ffffb080000000")
"""abs-send-time, transport sequence number, frame descriptor: what Chrome's video carries."""

BATCH = 64


class UdpBase:
    """A bound UDP socket, as ``sft.plugin.interfaces.Base`` wants it."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.send = self.socket.sendto

    @property
    def fd(self) -> int:
        return self.socket.fileno()

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.socket.getsockname()
        return host, port


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--receivers", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=300, help="packets per second in")
    parser.add_argument("--size", type=int, default=1100, help="bytes of a plain packet in")
    parser.add_argument("--json", action="store_true")


class Traffic:
    """One UDP port that packets come in on, one port per receiver that they leave from."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.inbound = UdpBase()
        self.packets_in = 0
        self.blocked = 0
        self.received = multiprocessing.Value("q", 0)
        self._stop = multiprocessing.Event()
        self._go = multiprocessing.Event()
        parent, child = multiprocessing.Pipe()
        self._process = multiprocessing.Process(
            target=_far_side, args=(child, self.inbound.address, options, self._go, self._stop, self.received)
        )
        self._process.start()
        addresses: list[tuple[str, int]] = parent.recv()
        self.receivers = [(UdpBase(), address) for address in addresses]

    def __enter__(self) -> Traffic:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._process.join()

    def packets(self) -> Iterator[tuple[bytes, float]]:
        """(datagram, now) until the sender has been quiet for a second; one epoll, drained per wake-up."""
        self._go.set()
        epoll = select.epoll()
        epoll.register(self.inbound.fd, select.EPOLLIN)
        recv = self.inbound.socket.recv
        while epoll.poll(1.0):
            now = time.monotonic()
            for _ in range(BATCH):
                try:
                    data = recv(2048)
                except BlockingIOError:
                    break
                self.packets_in += 1
                yield data, now


def plain_packet(sequence: int, size: int) -> bytes:
    """A VP8-sized RTP packet with Chrome's extensions."""
    header = HEADER.pack(0x90, 100, sequence & 0xFFFF, sequence * 300 & 0xFFFFFFFF, SSRC)
    extensions = EXTENSIONS[:8] + bytes((0x31, sequence >> 8 & 0xFF, sequence & 0xFF)) + EXTENSIONS[11:]
    return header + extensions + os.urandom(size - len(header) - len(extensions))


def _far_side(
    pipe: Any,
    target: tuple[str, int],
    options: argparse.Namespace,
    go: multiprocessing.synchronize.Event,
    stop: multiprocessing.synchronize.Event,
    received: Any,
) -> None:
    sinks = [UdpBase() for _ in range(options.receivers)]
    pipe.send([sink.address for sink in sinks])
    policy = Policy(
        key=KEY, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM
    )
    srtp = Session(policy)
    sender = UdpBase()
    total = int(options.rate * options.seconds)
    packets = [srtp.protect(plain_packet(number, options.size)) for number in range(1, total + 1)]
    scratch = bytearray(2048)
    go.wait()
    started = time.monotonic()
    sent = count = 0
    while not stop.is_set():
        due = min(total, int((time.monotonic() - started) * options.rate))
        while sent < due:
            sender.socket.sendto(packets[sent], target)
            sent += 1
        for sink in sinks:
            while True:
                try:
                    sink.socket.recv_into(scratch)
                except BlockingIOError:
                    break
                count += 1
        received.value = count
        time.sleep(0.005)


def report(name: str, traffic: Traffic, cpu: float) -> dict[str, object]:
    """CPU seconds of this process as microseconds per packet out."""
    out = traffic.packets_in * len(traffic.receivers)
    return {
        "name": name,
        "packets_in": traffic.packets_in,
        "packets_out": out,
        "received": traffic.received.value,
        "blocked": traffic.blocked,
        "cpu_seconds": round(cpu, 3),
        "us_per_packet_out": round(cpu / max(1, out) * 1e6, 3),
    }
