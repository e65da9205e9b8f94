"""A peer: ICE, DTLS and SCTP of one participant behind one small engine.

Datagrams and time go in; datagrams, events and the next deadline come out. The contract is "mutate,
then drain": after any call that takes ``now`` (also one that raised) the caller sends ``datagrams()``,
reads ``events()`` and looks at ``deadline`` again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import attrs

from sft.errors import BadPacket, LocalError
from sft.model import Address, Candidate, Drop, RandomBytes
from sft.webrtc.demux import Kind, classify
from sft.webrtc.dtls import DtlsContext, DtlsSession
from sft.webrtc.events import ChannelOpen, Closed, Connected, Message, PathSelected, PeerEvent
from sft.webrtc.ice import IceAgent, Path
from sft.webrtc.sctp import SctpAssociation

if TYPE_CHECKING:
    from sft.plugin.interfaces import Base

__all__ = [
    "ChannelOpen",
    "Closed",
    "Connected",
    "Message",
    "PathSelected",
    "Peer",
    "PeerEvent",
    "RemoteParameters",
]


@attrs.frozen
class RemoteParameters:
    """What the SDP answer says of the peer's transport."""

    ufrag: str
    pwd: str = attrs.field(repr=False)
    fingerprints: tuple[tuple[str, str], ...]
    """(algorithm in lower case, value in upper case)"""
    setup: Literal["active", "passive", "actpass"]
    candidates: tuple[Candidate, ...] = ()


class Peer:
    """One participant's connection, apart from its media.

    We are DTLS server unless the answer says ``setup:passive``; browsers begin the handshake as soon
    as a check was answered, which may be before their SDP answer reaches us.
    """

    __slots__ = ("_closed", "_dtls", "_events", "_ice", "_outbox", "_random", "_sctp", "_selected", "_context")

    def __init__(self, *, context: DtlsContext, ice: IceAgent, random: RandomBytes) -> None:
        self._context = context
        self._ice = ice
        self._random = random
        self._dtls = DtlsSession(context, is_server=True)
        self._sctp: SctpAssociation | None = None
        self._selected: Path | None = None
        self._closed = False
        self._events: list[PeerEvent] = []
        self._outbox: list[tuple[Base, bytes, Address]] = []

    @property
    def ufrag(self) -> str:
        """Local ICE user name fragment, for the offer."""
        return self._ice.ufrag

    @property
    def pwd(self) -> str:
        """Local ICE password, for the offer."""
        return self._ice.pwd

    @property
    def fingerprint(self) -> str:
        """SHA-256 of our certificate, for the offer."""
        return self._context.identity.fingerprint

    @property
    def last_alive(self) -> float | None:
        """When the last authenticated packet came: a STUN check with integrity, a DTLS record that
        decrypts. None: never yet."""
        times = [when for when in (self._ice.last_alive, self._dtls.last_alive) if when is not None]
        return max(times, default=None)

    @property
    def deadline(self) -> float | None:
        """When ``handle_timeout`` wants to be called."""
        if self._closed:
            return None
        sctp = None if self._sctp is None else self._sctp.deadline
        times = [when for when in (self._ice.deadline, self._dtls.deadline, sctp) if when is not None]
        return min(times, default=None)

    @property
    def buffered(self) -> int:
        """Bytes of messages that the peer has not acknowledged."""
        return 0 if self._sctp is None else self._sctp.buffered

    def datagrams(self) -> list[tuple[Base, bytes, Address]]:
        """What is to be sent; drains."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def events(self) -> list[PeerEvent]:
        """What happened; drains."""
        events, self._events = self._events, []
        return events

    def set_remote(self, remote: RemoteParameters, now: float) -> None:
        """Take the SDP answer. May come before, during or after the DTLS handshake."""
        if self._closed:
            return
        self._ice.set_remote(remote.ufrag, remote.pwd, remote.candidates, now)
        if remote.setup == "passive" and self._dtls.is_server:
            self._dtls = DtlsSession(self._context, is_server=False)
        self._dtls.set_fingerprints(remote.fingerprints)
        self._advance(now)

    def receive_untrusted(self, base: Base, data: bytes, address: Address, now: float) -> None:
        """Take one datagram that is not SRTP. ``base`` is only handed back, as where to answer from."""
        if self._closed:
            return
        kind = classify(data)
        try:
            if kind is Kind.STUN:
                self._ice.receive_untrusted(base, data, address, now)
            elif kind is Kind.DTLS:
                if not self._ice.is_validated(base, address):
                    raise BadPacket(Drop.DTLS_NO_PATH)
                self._receive_dtls_untrusted(data, now)
            else:
                raise BadPacket(Drop.UNKNOWN_PROTOCOL if data else Drop.EMPTY, kind.name)
        finally:
            self._advance(now)

    def send_message(self, text: str, now: float) -> None:
        """Send one text message on the data channel. ``LocalError``: no channel is open."""
        if self._closed or self._sctp is None:
            raise LocalError("the data channel is not open")
        self._sctp.send(text, now)
        self._advance(now)

    def handle_timeout(self, now: float) -> None:
        """Do what time asks for. Calling it early does nothing."""
        if self._closed:
            return
        self._ice.handle_timeout(now)
        self._dtls.handle_timeout(now)
        if self._sctp is not None:
            self._sctp.handle_timeout(now)
        self._advance(now)

    def close(self, now: float) -> None:
        """Abort SCTP and say close_notify; drain once more, then forget the peer. No event follows."""
        if self._closed:
            return
        if self._sctp is not None:
            self._sctp.close(now)
        self._advance(now)
        self._shut()
        self._events.clear()

    def _receive_dtls_untrusted(self, data: bytes, now: float) -> None:
        bad = None
        try:
            self._dtls.receive_untrusted(data, now)
        except BadPacket as error:  # what came before the fault still counts
            bad = error
        self._start_sctp(now)
        for packet in self._dtls.received():
            try:
                if self._sctp is not None:
                    self._sctp.receive_untrusted(packet, now)
            except BadPacket as error:
                bad = error
        if bad is not None:
            raise bad

    def _start_sctp(self, now: float) -> None:
        """Once the peer is verified: announce the keys, bring up the association."""
        if self._sctp is None and self._dtls.srtp is not None and self._dtls.closed is None:
            self._events.append(Connected(self._dtls.srtp))
            self._sctp = SctpAssociation(self._random, now, is_server=self._dtls.is_server)

    def _advance(self, now: float) -> None:
        """Carry everything one layer up or down that is on its way."""
        if self._closed:
            return
        self._outbox += self._ice.datagrams()
        selected = self._ice.selected
        if selected is not None and selected is not self._selected:
            self._selected = selected
            self._events.append(PathSelected(selected.base, selected.address))
        ...
