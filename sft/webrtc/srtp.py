"""SRTP sessions (RFC 3711, RFC 7714) from what the DTLS handshake yields."""

from __future__ import annotations

import attrs
from pylibsrtp import Policy, Session

from sft.errors import LocalError
from sft.model import SrtpParameters


@attrs.frozen
class SrtpProfile:
    """A DTLS-SRTP protection profile (RFC 5764 section 4.1.2, RFC 7714 section 14.2). Lengths in bytes."""

    name: str
    key_length: int
    salt_length: int
    libsrtp: int


PROFILES: dict[str, SrtpProfile] = {
    profile.name: profile
    for profile in (
        SrtpProfile("SRTP_AEAD_AES_128_GCM", 16, 12, Policy.SRTP_PROFILE_AEAD_AES_128_GCM),
        SrtpProfile("SRTP_AEAD_AES_256_GCM", 32, 12, Policy.SRTP_PROFILE_AEAD_AES_256_GCM),
        SrtpProfile("SRTP_AES128_CM_SHA1_80", 16, 14, Policy.SRTP_PROFILE_AES128_CM_SHA1_80),
    )
}
"""By name, in the order we prefer them: AES-128-GCM costs the least CPU per packet."""

REPLAY_WINDOW = 1024
"""Packets. Wide enough for a video sender's answer to a NACK one round trip later."""


def inbound_session(parameters: SrtpParameters) -> Session:
    """A session that unprotects whatever SSRC the peer sends."""
    return Session(_policy(parameters, parameters.inbound, Policy.SSRC_ANY_INBOUND))


def outbound_session(parameters: SrtpParameters) -> Session:
    """A session that protects any SSRC. A repeated sequence number is allowed, because the answer to
    a NACK is byte for byte the packet that was lost."""
    policy = _policy(parameters, parameters.outbound, Policy.SSRC_ANY_OUTBOUND)
    policy.allow_repeat_tx = True
    return Session(policy)


def _policy(parameters: SrtpParameters, key: bytes, ssrc_type: int) -> Policy:
    profile = PROFILES.get(parameters.profile)
    if profile is None:
        raise LocalError(f"unknown SRTP profile {parameters.profile!r}")
    if len(key) != profile.key_length + profile.salt_length:
        raise LocalError(f"{len(key)} bytes of key and salt do not fit {profile.name}")
    policy = Policy(key=key, ssrc_type=ssrc_type, srtp_profile=profile.libsrtp)
    policy.window_size = REPLAY_WINDOW
    return policy
