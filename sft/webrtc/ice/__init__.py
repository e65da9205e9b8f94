"""ICE (RFC 8445): which network path leads to the peer, proven by authenticated checks.

:class:`LiteAgent` only answers checks, :class:`FullAgent` sends its own; both are an :class:`IceAgent`, and
the peer cannot tell them apart.
"""

from __future__ import annotations

from sft.webrtc.ice.agent import (
    MAX_PATHS,
    IceAgent,
    LocalEnd,
    Outgoing,
    Path,
    local_ufrag_untrusted,
    make_credentials,
)
from sft.webrtc.ice.full import FullAgent
from sft.webrtc.ice.lite import LiteAgent

__all__ = [
    "MAX_PATHS",
    "FullAgent",
    "IceAgent",
    "LiteAgent",
    "LocalEnd",
    "Outgoing",
    "Path",
    "local_ufrag_untrusted",
    "make_credentials",
]
