"""Which protocol a datagram speaks, told by its first byte (RFC 7983 section 7, RFC 5761 section 4)."""

from __future__ import annotations

from enum import IntEnum


class Kind(IntEnum):
    """What a datagram is. ``UNKNOWN`` is dropped, and so are ZRTP and TURN channel data, which nobody
    speaks to us on a peer's own path."""

    UNKNOWN = 0
    STUN = 1
    DTLS = 2
    RTP = 3
    RTCP = 4
    ZRTP = 5
    TURN_CHANNEL = 6


def _kind_of(first: int) -> Kind:
    if first <= 3:
        return Kind.STUN
    if 16 <= first <= 19:
        return Kind.ZRTP
    if 20 <= first <= 63:
        return Kind.DTLS
    if 64 <= first <= 79:
        return Kind.TURN_CHANNEL
    if 128 <= first <= 191:
        return Kind.RTP
    return Kind.UNKNOWN


BY_FIRST_BYTE: tuple[Kind, ...] = tuple(_kind_of(first) for first in range(256))
"""256 kinds; RTCP still shows as RTP here, its second byte tells (192..223)."""


def classify(data: bytes) -> Kind:
    """The kind of a datagram; an empty one is ``UNKNOWN``."""
    if not data:
        return Kind.UNKNOWN
    kind = BY_FIRST_BYTE[data[0]]
    if kind is Kind.RTP and len(data) > 1 and 192 <= data[1] <= 223:
        return Kind.RTCP
    return kind
