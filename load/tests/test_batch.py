"""Datagrams in batches, as the kernel gives them."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from sft_load.batch import COUNT, Batch, stamp


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A sender, and the receiver it is connected to."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
    ):
        receiver.bind(("127.0.0.1", 0))
        sender.connect(receiver.getsockname())
        yield sender, receiver


def rtp(sequence: int, ssrc: int, size: int = 100) -> bytes:
    return struct.pack("!BBHII", 0x90, 111, sequence, 0, ssrc) + bytes(size - 12)


def test_headers_lengths_and_contents(ends: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = ends
    packets = [rtp(number, 7, 100 + number) for number in range(5)]
    for packet in packets:
        sender.send(packet)
    batch = Batch()
    assert batch.receive(receiver.fileno()) == 5
    assert list(batch.headers(5)) == [(0x90, 111, number, 7) for number in range(5)]
    lengths = [length for (length,) in batch.lengths(5)]
    assert lengths == [100, 101, 102, 103, 104]
    assert [batch.datagram(index, length) for index, length in enumerate(lengths)] == packets


def test_a_batch_has_an_end(ends: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = ends
    for number in range(COUNT + 3):
        sender.send(rtp(number, 7))
    batch = Batch()
    assert [batch.receive(receiver.fileno()) for _ in range(3)] == [COUNT, 3, 0]


def test_the_kernel_says_when_a_datagram_came(ends: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = ends
    stamp(receiver)
    batch = Batch()
    for _ in range(3):  # also after unstamped sockets were read
        before = time.time()
        sender.send(rtp(1, 7))
        after = time.time()
        assert batch.receive(receiver.fileno(), stamped=True) == 1
        assert before - 1e-4 <= batch.came(0) <= after + 1e-4
        assert batch.receive(receiver.fileno()) == 0


def test_a_port_that_nobody_listens_on_is_an_error() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        address = closed.getsockname()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(address)
        sender.send(b"hello")
        with pytest.raises(ConnectionRefusedError):
            Batch().receive(sender.fileno())
