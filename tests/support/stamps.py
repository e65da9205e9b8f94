"""When a datagram was sent, which it says itself, and when it came, which the kernel says: a test that is
kept from running meanwhile does not change it."""

from __future__ import annotations

import socket
import struct
import time

_STAMP = struct.Struct("!Id")
_TIMESPEC = struct.Struct("@qq")
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35  # asm-generic/socket.h

BUFFER = 1 << 23
"""Bytes a socket holds for a test that does not read for a while."""


def stamped(number: int, size: int) -> bytes:
    """A datagram of ``size`` bytes that is sent now."""
    return _STAMP.pack(number, time.time()) + bytes(size - _STAMP.size)


def take_stamps(receiver: socket.socket) -> None:
    """What comes to this socket can be read by ``receive``."""
    receiver.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)


def receive(receiver: socket.socket) -> tuple[int, float, float]:
    """The next: (number, seconds on the way, arrival by ``time.time``); TimeoutError as the socket has it."""
    data, control, _, _ = receiver.recvmsg(_STAMP.size, socket.CMSG_SPACE(_TIMESPEC.size))
    number, sent = _STAMP.unpack(data)
    seconds, nanoseconds = _TIMESPEC.unpack(control[0][2])
    arrived = seconds + nanoseconds / 1e9
    return number, arrived - sent, arrived
