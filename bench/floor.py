"""The floor: the least a Python server can do for a packet, to compare the product with.

One sender, K receivers. Per packet: recv and unprotect once, then per receiver rewrite the header,
protect, sendto. CPU is this process's own (``time.process_time``); sender and sink run in a process of
their own.

    python bench/floor.py --receivers 30 --seconds 10 --rate 300 --size 1100 [--srtp session] [--json]

``--srtp direct`` calls libsrtp through pylibsrtp's binding with one buffer, ``session`` calls
``pylibsrtp.Session.protect``: what a straightforward program does.
"""

from __future__ import annotations

import argparse
import json
import struct
import time
from collections.abc import Callable
from typing import Any

from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib
from traffic import KEY, Traffic, arguments, report

HEADER = struct.Struct("!BBHIII")
START = struct.Struct("!BBHI")


def session(ssrc_type: int) -> Session:
    """AES-128-GCM, the same master key for everybody: a benchmark has no secrets."""
    policy = Policy(key=KEY, ssrc_type=ssrc_type, srtp_profile=Policy.SRTP_PROFILE_AEAD_AES_128_GCM)
    policy.window_size = 1024
    policy.allow_repeat_tx = True
    return Session(policy)


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


def floor(traffic: Traffic, srtp: str) -> None:
    """Forward until the traffic ends."""
    inbound = session(Policy.SSRC_ANY_INBOUND)
    sessions = [session(Policy.SSRC_ANY_OUTBOUND) for _ in traffic.receivers]
    encrypt: Callable[[Any, bytes], bytes] = Session.protect
    keys: list[Any] = sessions
    if srtp == "direct":
        encrypt, keys = direct(sessions)
    receivers = [
        (key, base.send, address, 0x1000 + index)
        for index, (key, (base, address)) in enumerate(zip(keys, traffic.receivers, strict=True))
    ]
    for data, _ in traffic.packets():
        packet = inbound.unprotect(data)
        first, second, sequence, timestamp = START.unpack_from(packet)
        rest = packet[12:]
        first |= 1
        for key, send, address, ssrc in receivers:
            header = HEADER.pack(first, second, sequence, timestamp, ssrc, 7)
            try:
                send(encrypt(key, header + rest), address)
            except BlockingIOError:
                traffic.blocked += 1


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments(parser)
    parser.add_argument("--srtp", choices=("direct", "session"), default="direct")
    options = parser.parse_args()
    with Traffic(options) as traffic:
        started = time.process_time()
        floor(traffic, options.srtp)
        result = report(f"floor ({options.srtp})", traffic, time.process_time() - started)
    print(json.dumps(result) if options.json else result)


if __name__ == "__main__":
    main()
