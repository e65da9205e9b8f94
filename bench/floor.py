"""The floor: the least a server can do for a packet, to compare the product with.

Per packet: recv and unprotect once, then for each receiver rewrite the header, protect, sendto. CPU is
this process's own (``time.process_time``); the clients run in a process of their own.

    python bench/floor.py [--call fan|twenty|c50|in] [--srtp c|direct|session] [--seconds 5] [--json]

``c`` is a loop in C (floor.c, compiled by ``cc`` when it is asked for); ``direct`` is Python that calls
libsrtp through pylibsrtp's binding with one buffer; ``session`` calls ``pylibsrtp.Session.protect``: what
a straightforward program does. All three use the libsrtp that pylibsrtp carries.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pylibsrtp import Error, Policy, Session
from pylibsrtp._binding import ffi, lib
from traffic import FIRST_SSRC, Traffic, arguments, chosen, session

HEADER = struct.Struct("!BBHIII")
START = struct.Struct("!BBHI")
SSRC_AT = struct.Struct("!8xI")
CSRC = 7


def direct(sessions: list[Session]) -> tuple[Callable[[Any, bytes], bytes], list[Any]]:
    memory, length, protect = ffi.new("char[]", 2048), ffi.new("int *"), lib.srtp_protect
    view = ffi.buffer(memory)

    def encrypt(srtp: Any, packet: bytes) -> bytes:
        view[0 : len(packet)] = packet
        length[0] = len(packet)
        protect(srtp, memory, length)
        encrypted: bytes = view[0 : length[0]]
        return encrypted

    return encrypt, [one._srtp[0] for one in sessions]


def python_floor(traffic: Traffic, srtp: str) -> None:
    """Forward until the traffic ends."""
    everybody = range(traffic.shape.participants)
    inbound = [session(Policy.SSRC_ANY_INBOUND) for _ in everybody]
    sessions = [session(Policy.SSRC_ANY_OUTBOUND) for _ in everybody]
    encrypt: Callable[[Any, bytes], bytes] = Session.protect
    keys: list[Any] = sessions
    if srtp == "direct":
        encrypt, keys = direct(sessions)
    ways = [
        (key, base.send, address)
        for key, base, address in zip(keys, traffic.bases, traffic.addresses, strict=True)
    ]
    routes = {
        FIRST_SSRC + index: [(*ways[receiver], slot_ssrc(index, receiver)) for receiver in stream.receivers]
        for index, stream in enumerate(traffic.shape.streams)
    }
    for index, data, _ in traffic.packets():
        try:
            packet = inbound[index].unprotect(data)
        except Error:  # somebody else's datagram, to a port that was theirs before
            continue
        route = routes[SSRC_AT.unpack_from(packet)[0]]
        first, second, sequence, timestamp = START.unpack_from(packet)
        rest = packet[12:]
        first |= 1
        for key, send, address, ssrc in route:
            header = HEADER.pack(first, second, sequence, timestamp, ssrc, CSRC)
            try:
                send(encrypt(key, header + rest), address)
            except BlockingIOError:
                traffic.blocked += 1


def slot_ssrc(stream: int, receiver: int) -> int:
    """A receiver gets each stream under an SSRC of its own."""
    return 0x1000_0000 | receiver << 12 | stream


class _Participant(ctypes.Structure):
    _fields_ = (
        ("fd", ctypes.c_int32),
        ("port", ctypes.c_uint16),
        ("unused", ctypes.c_uint16),
        ("inbound", ctypes.c_void_p),
        ("outbound", ctypes.c_void_p),
    )


class _Pair(ctypes.Structure):
    """``struct out`` (participant, ssrc) or ``struct stream`` (first, count)."""

    _fields_ = (("left", ctypes.c_uint32), ("right", ctypes.c_uint32))


class _Counts(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int64) for name in ("packets_in", "out", "blocked", "failed"))


class _Call(ctypes.Structure):
    _fields_ = (
        ("unprotect", ctypes.c_void_p),
        ("protect", ctypes.c_void_p),
        ("participants", ctypes.POINTER(_Participant)),
        ("streams", ctypes.POINTER(_Pair)),
        ("outs", ctypes.POINTER(_Pair)),
        ("participant_count", ctypes.c_uint32),
        ("stream_count", ctypes.c_uint32),
        ("first_ssrc", ctypes.c_uint32),
        ("csrc", ctypes.c_uint32),
    )


def compiled() -> ctypes.CDLL:
    """floor.c as a library, from a folder that is gone again when this returns."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "floor.so"
        source = Path(__file__).with_name("floor.c")
        command = [
            "cc",
            "-O2",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-shared",
            "-fPIC",
            "-o",
            str(library),
            str(source),
        ]
        subprocess.run(command, check=True)
        return ctypes.CDLL(str(library))


def c_floor(traffic: Traffic) -> float:
    """Forward until the traffic ends; seconds of CPU that it took."""
    shape = traffic.shape
    run = compiled().run
    sessions = [
        (session(Policy.SSRC_ANY_INBOUND), session(Policy.SSRC_ANY_OUTBOUND))
        for _ in range(shape.participants)
    ]
    participants = (_Participant * shape.participants)(
        *(
            _Participant(
                base.fd, socket.htons(port), 0, _address(inbound._srtp[0]), _address(outbound._srtp[0])
            )
            for base, (_, port), (inbound, outbound) in zip(
                traffic.bases, traffic.addresses, sessions, strict=True
            )
        )
    )
    outs: list[_Pair] = []
    streams = []
    for index, stream in enumerate(shape.streams):
        streams.append(_Pair(len(outs), len(stream.receivers)))
        outs += [_Pair(receiver, slot_ssrc(index, receiver)) for receiver in stream.receivers]
    call = _Call(
        _address(ffi.addressof(lib, "srtp_unprotect")),
        _address(ffi.addressof(lib, "srtp_protect")),
        participants,
        (_Pair * len(streams))(*streams),
        (_Pair * len(outs))(*outs),
        shape.participants,
        len(streams),
        FIRST_SSRC,
        CSRC,
    )
    counts = _Counts()
    traffic.start()
    started = time.process_time()
    if run(ctypes.byref(call), ctypes.byref(counts)):
        raise OSError("the C floor has no epoll")
    cpu = time.process_time() - started
    traffic.packets_in, traffic.blocked = counts.packets_in, counts.blocked + counts.failed
    return cpu


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def floor(traffic: Traffic, srtp: str) -> dict[str, Any]:
    """Forward until the traffic ends; the report."""
    if srtp == "c":
        return traffic.report("floor (c)", c_floor(traffic))
    started = time.process_time()
    python_floor(traffic, srtp)
    return traffic.report(f"floor ({srtp})", time.process_time() - started)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments(parser)
    parser.add_argument("--srtp", choices=("c", "direct", "session"), default="direct")
    options = parser.parse_args()
    with Traffic(chosen(options), options.seconds) as traffic:
        result = floor(traffic, options.srtp)
    print(json.dumps(result) if options.json else result)


if __name__ == "__main__":
    main()
