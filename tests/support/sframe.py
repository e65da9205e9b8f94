"""SFrame (RFC 9605) written a second time, independently of the web client, for tests.

>>> frame = encrypt(bytes(16), kid=5, counter=0, plaintext=b"hello")
>>> decrypt(bytes(16), frame)
b'hello'
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from enum import Enum
from typing import Any

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_LENGTH = 12


class SFrameError(Exception):
    """The frame is cut short or not authentic."""


class Suite(Enum):
    """Cipher suites (section 4.5): number, hash, Nk in bytes, tag length in bytes."""

    AES_128_CTR_HMAC_SHA256_80 = (1, hashlib.sha256, 48, 10)
    AES_128_CTR_HMAC_SHA256_64 = (2, hashlib.sha256, 48, 8)
    AES_128_CTR_HMAC_SHA256_32 = (3, hashlib.sha256, 48, 4)
    AES_128_GCM_SHA256_128 = (4, hashlib.sha256, 16, 16)
    AES_256_GCM_SHA512_128 = (5, hashlib.sha512, 32, 16)

    def __init__(self, number: int, digest: Callable[[], Any], key_length: int, tag_length: int) -> None:
        self.number = number
        self.digest = digest
        self.key_length = key_length
        self.tag_length = tag_length

    @classmethod
    def numbered(cls, number: int) -> Suite:
        return next(suite for suite in cls if suite.number == number)

    @property
    def is_gcm(self) -> bool:
        return self.tag_length == 16


DEFAULT = Suite.AES_128_GCM_SHA256_128


@attrs.frozen
class Header:
    """KID and counter, and how many bytes of the frame they took."""

    kid: int
    counter: int
    length: int


@attrs.frozen
class Keys:
    """Key and salt of one KID (section 4.4.2)."""

    key: bytes = attrs.field(repr=False)
    salt: bytes = attrs.field(repr=False)


def hkdf(digest: Callable[[], Any], ikm: bytes, info: bytes, length: int) -> bytes:
    """HKDF (RFC 5869) with an empty salt."""
    secret = hmac.new(b"", ikm, digest).digest()
    block, output = b"", b""
    for number in range(1, 256):
        if len(output) >= length:
            break
        block = hmac.new(secret, block + info + bytes([number]), digest).digest()
        output += block
    return output[:length]


def encode_header(kid: int, counter: int) -> bytes:
    """Section 4.3."""
    (kid_bits, kid_bytes), (counter_bits, counter_bytes) = _field(kid), _field(counter)
    return bytes([kid_bits << 4 | counter_bits]) + kid_bytes + counter_bytes


def _field(value: int) -> tuple[int, bytes]:
    if value < 8:
        return value, b""
    length = (value.bit_length() + 7) // 8
    return 8 | (length - 1), value.to_bytes(length, "big")


def decode_header(frame: bytes) -> Header:
    """Section 4.3. ``SFrameError``: the frame ends within its header."""
    if not frame:
        raise SFrameError("empty frame")
    position, values = 1, []
    for bits in (frame[0] >> 4, frame[0] & 0x0F):
        if bits & 8:
            length = (bits & 7) + 1
            values.append(int.from_bytes(frame[position : position + length], "big"))
            position += length
        else:
            values.append(bits)
    if position > len(frame):
        raise SFrameError("header cut short")
    return Header(values[0], values[1], position)


def derive(base_key: bytes, kid: int, suite: Suite = DEFAULT) -> Keys:
    """Section 4.4.2."""
    suffix = kid.to_bytes(8, "big") + suite.number.to_bytes(2, "big")
    return Keys(
        hkdf(suite.digest, base_key, b"SFrame 1.0 Secret key " + suffix, suite.key_length),
        hkdf(suite.digest, base_key, b"SFrame 1.0 Secret salt " + suffix, NONCE_LENGTH),
    )


def encrypt(
    base_key: bytes, kid: int, counter: int, plaintext: bytes, metadata: bytes = b"", suite: Suite = DEFAULT
) -> bytes:
    """A whole frame: header, then ciphertext and tag (section 4.4.3)."""
    keys = derive(base_key, kid, suite)
    header = encode_header(kid, counter)
    nonce = _nonce(keys.salt, counter)
    if suite.is_gcm:
        return header + AESGCM(keys.key).encrypt(nonce, plaintext, header + metadata)
    ciphertext = _ctr(keys.key, nonce, plaintext)
    return header + ciphertext + _tag(suite, keys.key, nonce, header + metadata, ciphertext)


def decrypt(base_key: bytes, frame: bytes, metadata: bytes = b"", suite: Suite = DEFAULT) -> bytes:
    """The plaintext (section 4.4.4). ``SFrameError``: the frame is not authentic. Replays are for the
    caller to notice."""
    header = decode_header(frame)
    keys = derive(base_key, header.kid, suite)
    nonce = _nonce(keys.salt, header.counter)
    aad, sealed = frame[: header.length] + metadata, frame[header.length :]
    if len(sealed) < suite.tag_length:
        raise SFrameError("frame cut short")
    if suite.is_gcm:
        try:
            return AESGCM(keys.key).decrypt(nonce, sealed, aad)
        except InvalidTag:
            raise SFrameError("not authentic") from None
    ciphertext, tag = sealed[: -suite.tag_length], sealed[-suite.tag_length :]
    if not hmac.compare_digest(tag, _tag(suite, keys.key, nonce, aad, ciphertext)):
        raise SFrameError("not authentic")
    return _ctr(keys.key, nonce, ciphertext)


def _nonce(salt: bytes, counter: int) -> bytes:
    return (int.from_bytes(salt, "big") ^ counter).to_bytes(NONCE_LENGTH, "big")


def _ctr(key: bytes, nonce: bytes, data: bytes) -> bytes:
    """AES-CTR with the first 16 bytes of the key; the counter block starts at zero (section 4.5.1)."""
    cipher = Cipher(algorithms.AES(key[:16]), modes.CTR(nonce + bytes(4)))
    return cipher.encryptor().update(data)


def _tag(suite: Suite, key: bytes, nonce: bytes, aad: bytes, ciphertext: bytes) -> bytes:
    lengths = b"".join(number.to_bytes(8, "big") for number in (len(aad), len(ciphertext), suite.tag_length))
    data = lengths + nonce + aad + ciphertext
    return hmac.new(key[16:], data, suite.digest).digest()[: suite.tag_length]
