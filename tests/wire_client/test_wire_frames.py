"""The tests' own writer of Wire's frame format against the protocol's test vectors."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from support.wire_frames import FrameCipher, base_iv, frame_header, hidden_name, keyframe, video_packets

SECRET = bytes(range(16))


def test_hidden_names_are_those_of_the_protocol() -> None:
    assert hidden_name(SECRET, "c0ffee00-0000-4000-8000-000000000001") == "f84706786fe0230de2d176c6aa9e4df1"
    device = hidden_name(SECRET, "aaaaaaaa-0000-4000-8000-00000000000a", "1122334455667788")
    assert device == "b99660622aa6b0067dbbfd28f467e7cb"


def test_frame_headers_are_those_of_the_protocol() -> None:
    short = frame_header(0x01020304, 0, 0x0A0B0C0D)
    assert short == bytes.fromhex("10 30 01 02 03 04 31 0a 0b 0c 0d")
    long = frame_header(0xFF10, 0x10002, 0x11223344)
    assert long == bytes.fromhex("10 1a 01 00 02 ff 10 31 11 22 33 44")


def test_base_ivs_are_those_of_the_protocol() -> None:
    uhash = "0123456789abcdef0123456789abcdef"
    assert base_iv(uhash, "audio").hex() == "48fdfd5b43f7fa424508cd8d"
    assert base_iv(uhash, "video").hex() == "11dafca765199b0ac4fe094a"


def test_a_frame_decrypts_with_the_nonce_of_its_counter_and_key() -> None:
    key, iv = bytes(32), bytes.fromhex("11dafca765199b0ac4fe094a")
    cipher = FrameCipher(key, key_id=3, iv=iv, csrc=0x0A0B0C0D)
    first, second = cipher.encrypt(b"frame"), cipher.encrypt(b"frame")
    header = frame_header(0x01020304, 3, 0x0A0B0C0D)
    nonce = bytes.fromhex("10d8ffa3 65199b09 c4fe094a")
    assert AESGCM(key).decrypt(nonce, first.removeprefix(header), header) == b"frame"
    assert second != first


def test_pictures_fit_one_packet_each() -> None:
    cipher = FrameCipher(bytes(32), key_id=3, iv=bytes(12), csrc=1)
    packets = video_packets(cipher, keyframe(120), ssrc=7, count=3, rid="l")
    assert [packet.timestamp for packet in packets] == [90_000, 108_000, 126_000]
    assert len({packet.payload for packet in packets}) == 3
