"""libsrtp called directly, for the packet path.

``pylibsrtp.Session.protect`` allocates an ``int *`` per call and goes through four Python frames: 3.4 us
for 1100 bytes where the call itself takes 1.0. So sessions are made by pylibsrtp (``sft.webrtc.srtp``) and
used through its own binding, with one buffer for the whole process (a worker has one thread). The
sessions' private ``_srtp`` is touched here and nowhere else; the dependency is pinned to ``pylibsrtp<2``.
"""

from __future__ import annotations

from typing import Any

from pylibsrtp import Error, Session
from pylibsrtp._binding import ffi, lib

from sft.errors import BadPacket
from sft.model import Drop

MAX_DATAGRAM = 1500
"""Bytes of a protected packet we accept; RTP over ICE stays below the path's MTU."""

MEMORY: Any = ffi.new("char[]", 2048)
"""Where packets are protected and unprotected in place."""

BYTES: Any = ffi.buffer(MEMORY)
"""The same memory as a Python buffer."""

LENGTH: Any = ffi.new("int *")
"""In: length of the packet in MEMORY; out: its length after protecting or unprotecting."""

protect: Any = lib.srtp_protect
protect_rtcp: Any = lib.srtp_protect_rtcp
_unprotect: Any = lib.srtp_unprotect
_unprotect_rtcp: Any = lib.srtp_unprotect_rtcp

# srtp_err_status_t values (libsrtp 2, srtp.h); everything else means it was no RTP packet.
_AUTH_FAIL, _REPLAY_FAIL, _REPLAY_OLD = 7, 9, 10
_REASONS = {
    _AUTH_FAIL: Drop.SRTP_AUTH,
    _REPLAY_FAIL: Drop.SRTP_REPLAY,
    _REPLAY_OLD: Drop.SRTP_REPLAY,
}


def refusal(status: int) -> Drop:
    """Why a packet that libsrtp did not unprotect was not taken."""
    return _REASONS.get(status, Drop.RTP_MALFORMED)


def pointer(session: Session) -> Any:
    """The ``srtp_t`` of a session; valid while the session object lives."""
    return session._srtp[0]


class Inbound:
    """The receiving half of a peer's SRTP."""

    __slots__ = ("_session", "srtp")

    def __init__(self, session: Session) -> None:
        self._session = session
        self.srtp = pointer(session)

    def unprotect_untrusted(self, data: bytes) -> bytes:
        """The RTP packet, authenticated and not seen before."""
        size = len(data)
        if size > MAX_DATAGRAM:
            raise BadPacket(Drop.TOO_LARGE)
        BYTES[0:size] = data
        LENGTH[0] = size
        status = _unprotect(self.srtp, MEMORY, LENGTH)
        if status:
            raise BadPacket(refusal(status), f"libsrtp status {status}")
        plain: bytes = BYTES[0 : LENGTH[0]]
        return plain

    def unprotect_rtcp_untrusted(self, data: bytes) -> bytes:
        """The RTCP compound, authenticated and not seen before."""
        size = len(data)
        if size > MAX_DATAGRAM:
            raise BadPacket(Drop.TOO_LARGE)
        BYTES[0:size] = data
        LENGTH[0] = size
        status = _unprotect_rtcp(self.srtp, MEMORY, LENGTH)
        if status:
            raise BadPacket(_REASONS.get(status, Drop.RTCP_MALFORMED), f"libsrtp status {status}")
        plain: bytes = BYTES[0 : LENGTH[0]]
        return plain

    def forget(self, ssrc: int) -> None:
        """Drop libsrtp's state of an SSRC: it keeps one for every SSRC that ever authenticated."""
        try:
            self._session.remove_stream(ssrc)
        except Error:
            pass  # there was none
