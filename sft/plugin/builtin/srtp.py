"""Built-in plugin ``srtp``: all profiles we have; AES-128-GCM first, it costs the least per packet."""

from __future__ import annotations

from sft import hookimpl

PROFILES = ("SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_256_GCM", "SRTP_AES128_CM_SHA1_80")


@hookimpl
def sft_srtp_profiles() -> tuple[str, ...]:
    return PROFILES
