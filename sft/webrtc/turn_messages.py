"""TURN's methods and attributes (RFC 8656 sections 17 and 18), and the states of an allocation as a table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from sft.errors import BadPacket
from sft.model import Drop
from sft.webrtc import stun

ALLOCATE, REFRESH, SEND, DATA, CREATE_PERMISSION, CHANNEL_BIND = 0x003, 0x004, 0x006, 0x007, 0x008, 0x009

CHANNEL_NUMBER: Final = 0x000C
LIFETIME: Final = 0x000D
XOR_PEER_ADDRESS: Final = 0x0012
DATA_ATTRIBUTE: Final = 0x0013
REALM: Final = 0x0014
NONCE: Final = 0x0015
XOR_RELAYED_ADDRESS: Final = 0x0016
REQUESTED_ADDRESS_FAMILY: Final = 0x0017
REQUESTED_TRANSPORT: Final = 0x0019
ALTERNATE_SERVER: Final = 0x8023

UDP: Final = bytes((17, 0, 0, 0))
IPV6: Final = bytes((2, 0, 0, 0))


class TurnState(Enum):
    NEW = auto()
    ALLOCATING = auto()
    READY = auto()
    OVER = auto()


class TurnEvent(Enum):
    START = auto()
    ALLOCATED = auto()
    END = auto()
    """Failed, lost, or closed by us."""


STATES: Final[Mapping[TurnState, Mapping[TurnEvent, TurnState]]] = {
    TurnState.NEW: {TurnEvent.START: TurnState.ALLOCATING, TurnEvent.END: TurnState.OVER},
    TurnState.ALLOCATING: {TurnEvent.ALLOCATED: TurnState.READY, TurnEvent.END: TurnState.OVER},
    TurnState.READY: {TurnEvent.END: TurnState.OVER},
    TurnState.OVER: {TurnEvent.END: TurnState.OVER},
}


def read_peer_untrusted(message: stun.StunMessage, attribute: int) -> tuple[str, int]:
    """(host, port) from an XOR-ed address attribute, which has to be there."""
    value = message.attributes.get(attribute)
    if value is None:
        raise BadPacket(Drop.STUN_MALFORMED, f"attribute {attribute:#x} is missing")
    return stun.read_xor_address_untrusted(value, message.transaction)


def lifetime_untrusted(message: stun.StunMessage) -> int:
    """Seconds, at least one."""
    value = message.attributes.get(LIFETIME, b"")
    if len(value) != 4:
        raise BadPacket(Drop.STUN_MALFORMED, "LIFETIME")
    return max(1, int.from_bytes(value, "big"))


def alternate_untrusted(message: stun.StunMessage) -> tuple[str, int] | None:
    """ALTERNATE-SERVER is an address in the clear (RFC 8489 section 14.15)."""
    value = message.attributes.get(ALTERNATE_SERVER)
    return None if value is None else stun.read_address_untrusted(value)
