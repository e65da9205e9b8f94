"""SCTP: whatever packets an authenticated peer sends, an association stays bounded and raises BadPacket only.

A case is one byte that says where to begin (even: a fresh association, odd: an open channel) and then
packets, each as a two-byte length and its chunks. Header and checksum are added here, so that
mutations reach the chunks.
"""

from __future__ import annotations

import random
from struct import pack

from google_crc32c import value as crc32c

from sft.errors import BadPacket
from sft.webrtc.sctp import SctpAssociation
from sft.webrtc.sctp_transport import MAX_HELD, MAX_MESSAGE, RECEIVE_BUFFER

_INIT = 1
_PACKETS = 64  # per case, more are ignored


def fuzz(data: bytes) -> None:
    """Raises only if the code under test misbehaves."""
    begin, rest = data[:1], data[1:]
    server, client = _make_pair()
    if begin and begin[0] & 1:
        _pump(server, client)
    now = 1.0
    for _ in range(_PACKETS):
        size = int.from_bytes(rest[:2], "big")
        chunks, rest = rest[2 : 2 + size], rest[2 + size :]
        if not chunks:
            break
        now += 0.1
        try:
            server.receive_untrusted(wrap(chunks, tag_of(server)), now)
        except BadPacket:
            pass
        server.datagrams()
        server.events()
    _check_bounds(server)
    for _ in range(5):
        if server.deadline is not None:
            server.handle_timeout(server.deadline)
    server.close(now)
    if server.deadline is not None:
        raise AssertionError("a timer outlives the association")


def tag_of(association: SctpAssociation) -> int:
    tag: int = association._transport._local_verification_tag
    return tag


def wrap(chunks: bytes, tag: int) -> bytes:
    """A packet around chunks, with the right tag and checksum."""
    header = pack("!HHL", 5000, 5000, 0 if chunks[:1] == bytes([_INIT]) else tag)
    return header + pack("<L", crc32c(header + bytes(4) + chunks)) + chunks


def seeds() -> list[bytes]:
    """What a client really sends, and chunks it never should."""
    server, client = _make_pair()
    handshake = _pump(server, client)
    client.send("x" * 5000, 1.0)
    server.send("y" * 5000, 1.0)
    talk = _pump(server, client)
    last = client._transport._local_tsn
    acknowledged = client._transport._last_received_tsn or 0
    client.close(1.0)
    abort = client.datagrams()
    odd = [
        pack("!BBHLLHHHH", 3, 0, 20, acknowledged, 65536, 1, 0, 2, 65535),  # SACK with a huge gap block
        pack("!BBHHH4s", 4, 0, 12, 1, 8, b"beat"),
        pack("!BBHHH", 4, 0, 8, 1, 0),  # a parameter of length 0
        pack("!BBHHH", 6, 0, 8, 1, 0),  # and a cause of that length: aiortc would loop for ever
        pack("!BBHHHLLLHH", 130, 0, 24, 13, 18, last, 0, last - 1, 1, 0),  # reset stream 1
        pack("!BBHHHLHH", 130, 0, 16, 17, 12, last, 100, 0),
        pack("!BBHL", 7, 0, 8, acknowledged),
        pack("!BBHLHHL4s", 0, 3, 20, last, 1, 2, 51, b"text"),
        pack("!BBHLHHL4s", 0, 2, 20, last, 1, 2, 51, b"open"),
        pack("!BBHLHHL4s", 0, 3, 20, last + 5, 1, 9, 51, b"late"),
        pack("!BBHLHHL12s", 0, 3, 28, last, 4, 0, 50, b"\3" + bytes(11)),  # DCEP open
        pack("!BBHLHH", 192, 0, 12, last + 100, 1, 7),
    ]
    first = [_chunks(packet) for packet in handshake]
    then = [_chunks(packet) for packet in talk]
    return [
        _case(0, first),
        _case(0, first + then),
        _case(1, then),
        _case(1, [_chunks(packet) for packet in abort]),
        *(_case(1, [chunk]) for chunk in odd),
        *(_case(0, first + then + [chunk]) for chunk in odd),
    ]


def _case(begin: int, packets: list[bytes]) -> bytes:
    return bytes([begin]) + b"".join(len(chunks).to_bytes(2, "big") + chunks for chunks in packets)


def _chunks(packet: bytes) -> bytes:
    return packet[12:]


def _make_pair() -> tuple[SctpAssociation, SctpAssociation]:
    server = SctpAssociation(random.Random(1).randbytes, 0.0, is_server=True)
    return server, SctpAssociation(random.Random(2).randbytes, 0.0, is_server=False, opens_channel=False)


def _pump(server: SctpAssociation, client: SctpAssociation) -> list[bytes]:
    """Let the two talk until they are silent; gives what the client sent."""
    sent: list[bytes] = []
    while True:
        up, down = client.datagrams(), server.datagrams()
        if not up and not down:
            return sent
        sent += up
        for packet in up:
            server.receive_untrusted(packet, 0.5)
        for packet in down:
            client.receive_untrusted(packet, 0.5)


def _check_bounds(association: SctpAssociation) -> None:
    transport = association._transport
    streams = transport._inbound_streams.values()
    held = [chunk for stream in streams for chunk in stream.reassembly]
    if sum(len(chunk.user_data) for chunk in held) > RECEIVE_BUFFER + MAX_MESSAGE + 4096:
        raise AssertionError("too many bytes held")
    if len(held) > MAX_HELD + 1 or len(transport._sack_misordered) > MAX_HELD:
        raise AssertionError("too many chunks held")
    if len(association._loop.timers) > 4:
        raise AssertionError("timers leak")
