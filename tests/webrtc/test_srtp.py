from __future__ import annotations

import pytest
from pylibsrtp import Error

from sft.errors import LocalError
from sft.model import SrtpParameters
from sft.webrtc.srtp import PROFILES, inbound_session, outbound_session

HEADER = bytes.fromhex("806f0001000000000badcafe")


def make_parameters(profile: str) -> tuple[SrtpParameters, SrtpParameters]:
    length = PROFILES[profile].key_length + PROFILES[profile].salt_length
    ours, theirs = bytes(range(length)), bytes(range(100, 100 + length))
    return SrtpParameters(profile, theirs, ours), SrtpParameters(profile, ours, theirs)


def packet(sequence: int) -> bytes:
    return HEADER[:2] + sequence.to_bytes(2, "big") + HEADER[4:] + b"payload"


@pytest.mark.parametrize("profile", PROFILES)
def test_what_one_side_protects_the_other_unprotects(profile: str) -> None:
    here, there = make_parameters(profile)
    protected = outbound_session(here).protect(packet(1))
    assert protected[12:19] != b"payload"
    assert inbound_session(there).unprotect(protected) == packet(1)


def test_the_preferred_profile_is_the_cheapest_per_packet() -> None:
    assert next(iter(PROFILES)) == "SRTP_AEAD_AES_128_GCM"


def test_a_replay_is_refused() -> None:
    here, there = make_parameters("SRTP_AEAD_AES_128_GCM")
    protected = outbound_session(here).protect(packet(1))
    session = inbound_session(there)
    session.unprotect(protected)
    with pytest.raises(Error, match="replay"):
        session.unprotect(protected)


def test_a_packet_1000_late_is_taken_and_one_1100_late_is_not() -> None:
    here, there = make_parameters("SRTP_AEAD_AES_128_GCM")
    sender, receiver = outbound_session(here), inbound_session(there)
    protected = [sender.protect(packet(number)) for number in range(1, 1202)]
    receiver.unprotect(protected[1200])
    assert receiver.unprotect(protected[200]) == packet(201)
    with pytest.raises(Error):
        receiver.unprotect(protected[100])


def test_a_repeat_is_byte_identical() -> None:
    here, _ = make_parameters("SRTP_AEAD_AES_128_GCM")
    session = outbound_session(here)
    first = session.protect(packet(7))
    session.protect(packet(8))
    assert session.protect(packet(7)) == first


@pytest.mark.parametrize(
    "parameters",
    [SrtpParameters("SRTP_NULL", b"", b""), SrtpParameters("SRTP_AEAD_AES_128_GCM", b"short", b"short")],
)
def test_parameters_that_do_not_fit_are_our_own_fault(parameters: SrtpParameters) -> None:
    with pytest.raises(LocalError):
        inbound_session(parameters)
