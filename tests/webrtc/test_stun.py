from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
from aioice import stun as aioice
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import BadPacket
from sft.webrtc import stun
from sft.webrtc.demux import Kind, classify

CHROME_CHECK = bytes.fromhex(
    "000100542112a4424d474a6661433642617831630006000d693037664b5157693a6971546d000000c05700040003003280"
    "2a000818cb769f8abdb7f000250000002400046e7e1eff000800142fe4d2fe488a0ab67b7f10cadbba204b003b728f8028"
    "000431d00521"
)
CHROME_PASSWORD = b"793EbAGR458dkyGLKZkQGfo6"
TRANSACTION = bytes(range(12))


def test_a_check_from_chrome_is_read() -> None:
    message = stun.parse_untrusted(CHROME_CHECK)
    assert (message.kind, message.method, message.username) == (stun.Kind.REQUEST, 1, "i07fKQWi:iqTm")
    assert stun.USE_CANDIDATE in message.attributes
    assert message.attributes[stun.PRIORITY].hex() == "6e7e1eff"
    assert stun.has_integrity(message, CHROME_CHECK, CHROME_PASSWORD)
    assert not stun.has_integrity(message, CHROME_CHECK, CHROME_PASSWORD[:-1])


def test_the_test_vector_of_rfc_5769_is_read() -> None:
    data = bytes.fromhex(
        "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff80290008"
        "932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004"
        "e57a3bcf"
    )
    message = stun.parse_untrusted(data)
    assert message.username == "evtj:h6vY"
    assert stun.has_integrity(message, data, b"VOkJxbRl1RmTxUk/WvJxBt")


@pytest.mark.parametrize("address", [("192.0.2.1", 32853), ("2001:db8:1234:5678:11:2233:4455:6677", 32853)])
def test_what_we_write_aioice_reads(address: tuple[str, int]) -> None:
    value = stun.xor_address(address, TRANSACTION)
    attributes = [(stun.XOR_MAPPED_ADDRESS, value), stun.error_code(487, "Role Conflict")]
    data = stun.write(stun.Kind.ERROR, stun.BINDING, TRANSACTION, attributes, b"key")
    message = aioice.parse_message(data)
    message.check_message_integrity(b"key")
    assert message.message_class is aioice.Class.ERROR
    assert message.attributes["XOR-MAPPED-ADDRESS"] == address
    assert message.attributes["ERROR-CODE"] == (487, "Role Conflict")
    assert stun.read_xor_address_untrusted(value, TRANSACTION) == address


@given(
    st.sampled_from(stun.Kind),
    st.integers(0, 0xFFF),
    st.lists(st.tuples(st.integers(0x30, 0x7FFF), st.binary(max_size=40)), max_size=6),
    st.one_of(st.none(), st.binary(min_size=1, max_size=30)),
)
def test_what_is_written_is_read_again(
    kind: stun.Kind, method: int, attributes: list[tuple[int, bytes]], key: bytes | None
) -> None:
    data = stun.write(kind, method, TRANSACTION, attributes, key)
    message = stun.parse_untrusted(data)
    assert (message.kind, message.method, message.transaction) == (kind, method, TRANSACTION)
    first = dict(reversed(attributes))
    assert {k: v for k, v in message.attributes.items() if k != stun.MESSAGE_INTEGRITY} == first
    assert stun.has_integrity(message, data, key or b"") == (key is not None)


def test_an_ipv4_mapped_address_is_written_as_ipv4() -> None:
    assert stun.xor_address(("::ffff:192.0.2.1", 5, 0, 0), TRANSACTION) == stun.xor_address(
        ("192.0.2.1", 5), TRANSACTION
    )


def test_an_attribute_behind_the_integrity_is_not_believed() -> None:
    data = stun.write(stun.Kind.REQUEST, stun.BINDING, TRANSACTION, [(stun.USERNAME, b"a:b")], b"key")
    inner = data[:-8] + bytes.fromhex("00250000")  # USE-CANDIDATE smuggled in by somebody without the key
    inner = inner[:2] + (len(inner) - 20).to_bytes(2, "big") + inner[4:]
    message = stun.parse_untrusted(inner)
    assert stun.has_integrity(message, inner, b"key")
    assert stun.USE_CANDIDATE not in message.attributes


def test_every_flipped_bit_that_matters_is_noticed() -> None:
    for bit in range((len(CHROME_CHECK) - 8) * 8):  # all but FINGERPRINT itself
        data = bytearray(CHROME_CHECK)
        data[bit // 8] ^= 1 << bit % 8
        try:
            message = stun.parse_untrusted(bytes(data))
        except BadPacket:
            continue
        assert not stun.has_integrity(message, bytes(data), CHROME_PASSWORD)


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_raise_nothing_but_bad_packet(data: bytes, framed: bool) -> None:
    if framed:
        padded = data + bytes(-len(data) % 4)
        data = b"\0\1" + len(padded).to_bytes(2, "big") + CHROME_CHECK[4:20] + padded
    try:
        message = stun.parse_untrusted(data)
    except BadPacket:
        return
    assert not stun.has_integrity(message, data, b"key")


@given(st.binary(max_size=24))
def test_an_arbitrary_mapped_address_raises_nothing_but_bad_packet(value: bytes) -> None:
    try:
        stun.read_xor_address_untrusted(value, TRANSACTION)
    except BadPacket:
        pass


def test_the_fuzz_target_takes_its_own_seeds(load_fuzz: Callable[[str], ModuleType]) -> None:
    target = load_fuzz("fuzz_stun")
    for seed in target.seeds():
        target.fuzz(seed)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Kind.UNKNOWN),
        (b"\x00", Kind.STUN),
        (b"\x03", Kind.STUN),
        (b"\x04", Kind.UNKNOWN),
        (b"\x10", Kind.ZRTP),
        (b"\x14", Kind.DTLS),
        (b"\x3f", Kind.DTLS),
        (b"\x40", Kind.TURN_CHANNEL),
        (b"\x50", Kind.UNKNOWN),
        (b"\x80", Kind.RTP),
        (b"\x80\x6f", Kind.RTP),
        (b"\x80\xc8", Kind.RTCP),
        (b"\xbf\xdf", Kind.RTCP),
        (b"\xbf\xe0", Kind.RTP),
        (b"\xc0", Kind.UNKNOWN),
    ],
)
def test_the_first_byte_tells_the_protocol(data: bytes, kind: Kind) -> None:
    assert classify(data) is kind
