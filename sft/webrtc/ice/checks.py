"""A full agent's checks: ours under way, and the peer's as they were seen."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

import attrs

from sft.model import Address
from sft.webrtc import stun
from sft.webrtc.ice.checklist import Pair
from sft.webrtc.transaction import Transaction

if TYPE_CHECKING:
    from sft.plugin.interfaces import Base


class Purpose(Enum):
    CHECK = auto()
    NOMINATION = auto()
    CONSENT = auto()


@attrs.frozen(eq=False)
class Check:
    """One of our requests under way."""

    pair: Pair
    transaction: Transaction
    purpose: Purpose
    controlling: bool
    """Our role when it was sent."""


@attrs.frozen
class Remote:
    ufrag: str
    pwd: bytes = attrs.field(repr=False)


@attrs.frozen
class Sighting:
    """An authenticated check of the peer."""

    base: Base
    address: Address
    priority: int
    nominates: bool


def write_check(
    id: bytes, username: str, key: bytes, role: tuple[int, bytes], priority: int, nominates: bool
) -> bytes:
    """A connectivity check (RFC 8445 section 7.1)."""
    attributes = [(stun.USERNAME, username.encode()), role, (stun.PRIORITY, priority.to_bytes(4, "big"))]
    if nominates:
        attributes.append((stun.USE_CANDIDATE, b""))
    return stun.write(stun.Kind.REQUEST, stun.BINDING, id, attributes, key)
