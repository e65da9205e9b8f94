"""STUN messages (RFC 8489) as ICE uses them: read, check, write. No state."""

from __future__ import annotations

import hmac
from binascii import crc32
from collections.abc import Collection, Sequence
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import Final

import attrs

from sft.errors import BadPacket
from sft.model import Address, Drop

BINDING: Final = 0x001

USERNAME: Final = 0x0006
MESSAGE_INTEGRITY: Final = 0x0008
ERROR_CODE: Final = 0x0009
UNKNOWN_ATTRIBUTES: Final = 0x000A
XOR_MAPPED_ADDRESS: Final = 0x0020
PRIORITY: Final = 0x0024
USE_CANDIDATE: Final = 0x0025
FINGERPRINT: Final = 0x8028
ICE_CONTROLLED: Final = 0x8029
ICE_CONTROLLING: Final = 0x802A

_MAGIC: Final = b"\x21\x12\xa4\x42"
_FINGERPRINT_XOR: Final = 0x5354554E
_HEADER = Struct("!HH4s12s")
_ATTRIBUTE = Struct("!HH")
_U16 = Struct("!H")
_U32 = Struct("!I")
_HEADER_LENGTH: Final = 20
_INTEGRITY_LENGTH: Final = 24  # type, length and a SHA-1 digest
_FINGERPRINT_LENGTH: Final = 8


class Kind(IntEnum):
    """The class bits of the message type (RFC 8489 section 5)."""

    REQUEST = 0x000
    INDICATION = 0x010
    SUCCESS = 0x100
    ERROR = 0x110


@attrs.define
class StunMessage:
    """A message as read. ``attributes`` holds the first of each type (RFC 8489 section 14) and none
    that follows MESSAGE-INTEGRITY, because those nobody vouches for."""

    kind: Kind
    method: int
    transaction: bytes
    attributes: dict[int, bytes]
    integrity_at: int | None
    """Where in the datagram MESSAGE-INTEGRITY begins; None: the message has none."""

    def unknown(self, known: Collection[int]) -> list[int]:
        """The comprehension-required attribute types not in ``known``."""
        return [kind for kind in self.attributes if kind < 0x8000 and kind not in known]

    @property
    def username(self) -> str | None:
        value = self.attributes.get(USERNAME)
        return None if value is None else value.decode("utf-8", "replace")


def parse_untrusted(data: bytes) -> StunMessage:
    """Read a message. Checks framing and, if present, FINGERPRINT; not MESSAGE-INTEGRITY."""
    length = len(data)
    if length < _HEADER_LENGTH:
        raise BadPacket(Drop.STUN_MALFORMED, "short header")
    message_type, body_length, magic, transaction = _HEADER.unpack_from(data)
    if message_type & 0xC000 or magic != _MAGIC:
        raise BadPacket(Drop.STUN_MALFORMED, "not STUN")
    if body_length & 3 or body_length + _HEADER_LENGTH != length:
        raise BadPacket(Drop.STUN_MALFORMED, "wrong length")
    attributes: dict[int, bytes] = {}
    integrity_at = None
    position = _HEADER_LENGTH
    while position < length:
        kind, size = _ATTRIBUTE.unpack_from(data, position)
        begin = position + 4
        end = begin + size
        if end > length:
            raise BadPacket(Drop.STUN_MALFORMED, "attribute exceeds the message")
        if kind == FINGERPRINT:
            _check_fingerprint_untrusted(data, position, size)
        elif integrity_at is None:
            if kind == MESSAGE_INTEGRITY:
                if size != 20:
                    raise BadPacket(Drop.STUN_MALFORMED, "MESSAGE-INTEGRITY is not 20 bytes long")
                integrity_at = position
            attributes.setdefault(kind, data[begin:end])
        position = end + (-size & 3)
    method = (message_type & 0xF) | (message_type & 0xE0) >> 1 | (message_type & 0x3E00) >> 2
    return StunMessage(Kind(message_type & 0x110), method, transaction, attributes, integrity_at)


def _check_fingerprint_untrusted(data: bytes, position: int, size: int) -> None:
    if size != 4 or position + _FINGERPRINT_LENGTH != len(data):
        raise BadPacket(Drop.STUN_MALFORMED, "FINGERPRINT is not the last attribute")
    if _U32.unpack_from(data, position + 4)[0] != crc32(data[:position]) ^ _FINGERPRINT_XOR:
        raise BadPacket(Drop.STUN_MALFORMED, "wrong FINGERPRINT")


def has_integrity(message: StunMessage, data: bytes, key: bytes) -> bool:
    """Whether MESSAGE-INTEGRITY is there and was made with ``key`` (RFC 8489 section 14.5)."""
    if message.integrity_at is None:
        return False
    expected = _integrity(data[: message.integrity_at], key)
    return hmac.compare_digest(expected, message.attributes[MESSAGE_INTEGRITY])


def _integrity(data: bytes, key: bytes) -> bytes:
    # The digest covers a header whose length already counts MESSAGE-INTEGRITY, and nothing after it.
    length = len(data) - _HEADER_LENGTH + _INTEGRITY_LENGTH
    return hmac.digest(key, data[:2] + _U16.pack(length) + data[4:], "sha1")


def write(
    kind: Kind,
    method: int,
    transaction: bytes,
    attributes: Sequence[tuple[int, bytes]],
    key: bytes | None = None,
) -> bytes:
    """A message with FINGERPRINT, and MESSAGE-INTEGRITY if there is a ``key``.

    ``transaction`` is 12 bytes; ``attributes`` are (type, value) without padding.
    """
    parts = []
    for attribute, value in attributes:
        parts.append(_ATTRIBUTE.pack(attribute, len(value)) + value + bytes(-len(value) & 3))
    body = b"".join(parts)
    message_type = kind | (method & 0xF) | (method & 0x70) << 1 | (method & 0xF80) << 2
    length = len(body) + _FINGERPRINT_LENGTH + (0 if key is None else _INTEGRITY_LENGTH)
    data = _HEADER.pack(message_type, length, _MAGIC, transaction) + body
    if key is not None:
        data += _ATTRIBUTE.pack(MESSAGE_INTEGRITY, 20) + _integrity(data, key)
    return data + _ATTRIBUTE.pack(FINGERPRINT, 4) + _U32.pack(crc32(data) ^ _FINGERPRINT_XOR)


def xor_address(address: Address, transaction: bytes) -> bytes:
    """The value of XOR-MAPPED-ADDRESS (RFC 8489 section 14.2). An IPv4-mapped IPv6 address, as a
    dual-stack socket reports it, is written as IPv4: the peer knows itself by that."""
    packed = _pack_host(address[0])
    size = len(packed)
    xored = int.from_bytes(packed, "big") ^ int.from_bytes((_MAGIC + transaction)[:size], "big")
    family = b"\0\1" if size == 4 else b"\0\2"
    return family + _U16.pack(address[1] ^ 0x2112) + xored.to_bytes(size, "big")


@lru_cache(maxsize=4096)
def _pack_host(host: str) -> bytes:
    address = ip_address(host)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.packed


def read_xor_address_untrusted(value: bytes, transaction: bytes) -> tuple[str, int]:
    """(host, port) from the value of XOR-MAPPED-ADDRESS."""
    if len(value) > _HEADER_LENGTH:
        raise BadPacket(Drop.STUN_MALFORMED, "an address attribute")
    mask = b"\0\0" + _MAGIC[:2] + _MAGIC + transaction
    return read_address_untrusted(bytes(a ^ b for a, b in zip(value, mask, strict=False)))


def read_address_untrusted(value: bytes) -> tuple[str, int]:
    """(host, port) from the value of MAPPED-ADDRESS and its like (RFC 8489 section 14.1)."""
    if len(value) not in (8, 20) or value[1] != (1 if len(value) == 8 else 2):
        raise BadPacket(Drop.STUN_MALFORMED, "an address attribute")
    host = IPv4Address(value[4:]) if len(value) == 8 else IPv6Address(value[4:])
    return str(host), _U16.unpack_from(value, 2)[0]


def error_code(code: int, reason: str) -> tuple[int, bytes]:
    """The ERROR-CODE attribute, ready for :func:`write` (RFC 8489 section 14.8)."""
    return ERROR_CODE, bytes((0, 0, code // 100, code % 100)) + reason.encode()


def read_error_code_untrusted(message: StunMessage) -> int:
    """300 to 699 from ERROR-CODE (RFC 8489 section 14.8)."""
    value = message.attributes.get(ERROR_CODE, b"")
    if len(value) < 4 or not 3 <= value[2] & 7 <= 6 or value[3] > 99:
        raise BadPacket(Drop.STUN_MALFORMED, "ERROR-CODE")
    return (value[2] & 7) * 100 + value[3]


def unknown_attributes(kinds: Sequence[int]) -> tuple[int, bytes]:
    """The UNKNOWN-ATTRIBUTES attribute, ready for :func:`write` (RFC 8489 section 14.9)."""
    return UNKNOWN_ATTRIBUTES, b"".join(map(_U16.pack, kinds))
