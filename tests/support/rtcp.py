"""RTCP as clients send and get it, written and read without any code of the server."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

OUR_SSRC = 1
"""The sender of what tests send; servers do not look at it."""

SR, RR, SDES, BYE, TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK = 200, 201, 202, 203, 205, 206
NACK, TRANSPORT_CC = 1, 15  # formats of transport feedback
PLI, FIR = 1, 4  # formats of payload-specific feedback


@attrs.frozen
class RtcpPacket:
    """One packet of a compound (RFC 3550 section 6.1)."""

    type: int
    count: int
    """Report count or feedback format."""
    body: bytes
    """What follows the first four bytes."""

    def pack(self) -> bytes:
        return bytes([0x80 | self.count, self.type]) + (len(self.body) // 4).to_bytes(2, "big") + self.body


def read_compounds(compounds: Iterable[bytes]) -> list[RtcpPacket]:
    """The packets of all compounds, in order."""
    packets = []
    for data in compounds:
        while data:
            size = 4 + 4 * int.from_bytes(data[2:4], "big")
            packets.append(RtcpPacket(data[1], data[0] & 0x1F, data[4:size]))
            data = data[size:]
    return packets


def asks_for_keyframe(packet: RtcpPacket, ssrc: int) -> bool:
    """Whether this is a PLI (RFC 4585 section 6.3.1) or FIR (RFC 5104 section 4.3.1) for a source."""
    if packet.type != PAYLOAD_FEEDBACK:
        return False
    wanted = ssrc.to_bytes(4, "big")
    if packet.count == PLI:
        return packet.body[4:8] == wanted
    return packet.count == FIR and any(
        packet.body[at : at + 4] == wanted for at in range(8, len(packet.body), 8)
    )


def pli(ssrc: int) -> bytes:
    """Picture loss indication for a source."""
    return RtcpPacket(PAYLOAD_FEEDBACK, PLI, _numbers(OUR_SSRC, ssrc)).pack()


def nack(ssrc: int, sequences: Sequence[int]) -> bytes:
    """Generic NACK (RFC 4585 section 6.2.1), one entry per sequence number."""
    entries = b"".join(sequence.to_bytes(2, "big") + bytes(2) for sequence in sequences)
    return RtcpPacket(TRANSPORT_FEEDBACK, NACK, _numbers(OUR_SSRC, ssrc) + entries).pack()


def sender_report(ssrc: int, *, ntp: int = 0xE0000000_00000000, timestamp: int = 0) -> bytes:
    """SR (RFC 3550 section 6.4.1) without report blocks."""
    body = _numbers(ssrc, ntp >> 32, ntp & 0xFFFFFFFF, timestamp, 1, 1)
    return RtcpPacket(SR, 0, body).pack()


def _numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)
