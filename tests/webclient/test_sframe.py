"""The Python SFrame codec of the tests against RFC 9605's test vectors, and against tampering."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support import sframe

VECTORS: dict[str, Any] = json.loads((Path(__file__).parent / "data/sframe-vectors.json").read_text())
U64 = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize(("kid", "counter", "encoded"), VECTORS["header"])
def test_headers_are_those_of_the_rfc(kid: str, counter: str, encoded: str) -> None:
    header = bytes.fromhex(encoded)
    assert sframe.encode_header(int(kid), int(counter)) == header
    assert sframe.decode_header(header) == sframe.Header(int(kid), int(counter), len(header))


@pytest.mark.parametrize("vector", VECTORS["sframe"]["suites"], ids=lambda vector: f"suite{vector['number']}")
def test_frames_are_those_of_the_rfc(vector: dict[str, Any]) -> None:
    shared = VECTORS["sframe"]
    suite = sframe.Suite.numbered(vector["number"])
    base_key, metadata = bytes.fromhex(shared["base_key"]), bytes.fromhex(shared["metadata"])
    plaintext, frame = bytes.fromhex(shared["plaintext"]), bytes.fromhex(vector["frame"])

    keys = sframe.derive(base_key, int(shared["kid"]), suite)
    assert (keys.key.hex(), keys.salt.hex()) == (vector["key"], vector["salt"])
    assert (
        sframe.encrypt(base_key, int(shared["kid"]), int(shared["counter"]), plaintext, metadata, suite)
        == frame
    )
    assert sframe.decrypt(base_key, frame, metadata, suite) == plaintext


@given(U64, U64)
def test_every_header_can_be_read_back(kid: int, counter: int) -> None:
    encoded = sframe.encode_header(kid, counter)
    assert sframe.decode_header(encoded + b"rest") == sframe.Header(kid, counter, len(encoded))


@given(st.binary(min_size=16, max_size=32), U64, U64, st.binary(max_size=200), st.data())
def test_a_changed_byte_is_noticed(base_key: bytes, kid: int, counter: int, text: bytes, data: Any) -> None:
    frame = bytearray(sframe.encrypt(base_key, kid, counter, text))
    assert sframe.decrypt(base_key, bytes(frame)) == text
    position = data.draw(st.integers(0, len(frame) - 1))
    frame[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(sframe.SFrameError):
        sframe.decrypt(base_key, bytes(frame))


@pytest.mark.parametrize("frame", [b"", b"\x80", b"\x99\x01\x23", b"\x00short"])
def test_a_frame_that_is_cut_short_is_refused(frame: bytes) -> None:
    with pytest.raises(sframe.SFrameError):
        sframe.decrypt(bytes(16), frame)
