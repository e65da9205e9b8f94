"""Frames as Wire clients encrypt them (protocol section 7) and packetise them, made without their library."""

from __future__ import annotations

import base64
import colorsys
import hashlib

import attrs
import av
import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from support.rtp import FRAME_DESCRIPTOR, RID, VP8, RtpPacket

CSRC = 1
"""The header's extension that names the sender by its SSRC in CONFPART."""

MAX_FRAME = 1100
"""Bytes: what fits one packet; larger frames are not sent here."""

ALONE = 0xF0
"""Generic frame descriptor: begin and end of the frame and of its only layer, no dependencies."""

VP8_START = b"\x10"
"""Payload descriptor (RFC 7741 section 4.2): start of partition 0."""


def hidden_name(secret: bytes, *parts: str) -> str:
    """A conversation's or a device's hash (protocol section 5.1)."""
    return hashlib.sha256(secret + "".join(parts).encode()).digest()[:16].hex()


def derive(key: bytes, salt: str, info: str, size: int) -> bytes:
    return HKDF(SHA512(), size, salt.encode(), info.encode()).derive(key)


def media_key(session_key: bytes, convhash: str) -> bytes:
    return derive(session_key, convhash, "media_key", 32)


def base_iv(uhash: str, kind: str) -> bytes:
    """``kind``: audio or video."""
    return derive(uhash.encode(), f"{kind}_iv", "", 12)


def frame_header(counter: int, key_id: int, csrc: int) -> bytes:
    """Protocol section 7.2."""
    number = _shortest(counter)
    long_id = b"" if key_id < 8 else _shortest(key_id)
    key_bits = 0x08 | (len(long_id) - 1) if long_id else key_id
    extension = bytes([(4 - 1) << 4 | CSRC]) + csrc.to_bytes(4, "big")
    return bytes([0x10, (len(number) - 1) << 4 | key_bits]) + long_id + number + extension


def _shortest(number: int) -> bytes:
    return number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")


@attrs.define
class FrameCipher:
    """Encrypts what one participant sends of one kind (protocol section 7.3)."""

    key: bytes = attrs.field(repr=False)
    key_id: int
    iv: bytes = attrs.field(repr=False)
    csrc: int
    counter: int = 0x01020304

    def encrypt(self, frame: bytes) -> bytes:
        header = frame_header(self.counter, self.key_id, self.csrc)
        mask = self.counter.to_bytes(4, "big") + self.key_id.to_bytes(4, "big") + bytes(4)
        nonce = bytes(a ^ b for a, b in zip(self.iv, mask, strict=True))
        self.counter = (self.counter + 1) % 2**32
        return header + AESGCM(self.key).encrypt(nonce, frame, header)


def decode_key(epoch_key: str) -> bytes:
    """The session key of an MLS epoch, as the app hands it to the library."""
    return base64.b64decode(epoch_key)


def keyframe(hue: int, width: int = 320, height: int = 180) -> bytes:
    """A VP8 keyframe of one colour; ``hue`` in degrees."""
    colour = [round(255 * part) for part in colorsys.hsv_to_rgb(hue / 360, 1, 1)]
    encoder = av.CodecContext.create("libvpx", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.options = {"deadline": "realtime", "lag-in-frames": "0"}
    picture = av.VideoFrame.from_ndarray(np.full((height, width, 3), colour, np.uint8), format="rgb24")
    packets = [*encoder.encode(picture.reformat(format="yuv420p")), *encoder.encode(None)]
    return bytes(packets[0])


def video_packets(
    cipher: FrameCipher, frame: bytes, ssrc: int, count: int, *, fps: int = 5, rid: str = ""
) -> list[RtpPacket]:
    """The same keyframe ``count`` times, each encrypted anew and in one packet."""
    packets = []
    for number in range(count):
        payload = VP8_START + cipher.encrypt(frame)
        assert len(payload) <= MAX_FRAME, "the keyframe does not fit one packet"
        descriptor = bytes([ALONE, 0x01]) + number.to_bytes(2, "little")
        size = (320).to_bytes(2, "big") + (180).to_bytes(2, "big")
        extensions = {FRAME_DESCRIPTOR: descriptor + size}
        if rid:
            extensions[RID] = rid.encode()
        packets.append(
            RtpPacket(
                ssrc=ssrc,
                sequence=(1000 + number) % 2**16,
                timestamp=(90_000 + number * 90_000 // fps) % 2**32,
                payload=payload,
                payload_type=VP8,
                marker=True,
                extensions=extensions,
            )
        )
    return packets
