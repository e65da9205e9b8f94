"""A peer: ICE, DTLS and SCTP of one participant behind one small engine.

Datagrams and time go in; datagrams, events and the next deadline come out. The contract is "mutate,
then drain": after any call that takes ``now`` (also one that raised) the caller sends ``datagrams()``,
reads ``events()`` and looks at ``deadline`` again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import attrs

from sft.errors import BadPacket, LocalError
from sft.model import Address, Candidate, Drop, RandomBytes
from sft.webrtc.demux import Kind, classify
from sft.webrtc.dtls import DtlsContext, DtlsSession
from sft.webrtc.events import ChannelOpen, Closed, Connected, Message, PathSelected, PeerEvent
from sft.webrtc.ice import IceAgent, LocalEnd, Path
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

    __slots__ = (
        "_closed",
        "_context",
        "_created",
        "_dtls",
        "_events",
        "_ice",
        "_must_start",
        "_outbox",
        "_random",
        "_sctp",
        "_selected",
    )

    def __init__(self, *, context: DtlsContext, ice: IceAgent, random: RandomBytes, now: float) -> None:
        self._created = now
        self._context = context
        self._ice = ice
        self._random = random
        self._dtls = DtlsSession(context, is_server=True)
        self._sctp: SctpAssociation | None = None
        self._selected: Path | None = None
        self._closed = False
        self._must_start = False  # we are DTLS client and wait for a path
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
    def is_lite(self) -> bool:
        """Whether our ICE agent only answers checks, for the offer."""
        return self._ice.is_lite

    @property
    def fingerprint(self) -> str:
        """SHA-256 of our certificate, for the offer."""
        return self._context.identity.fingerprint

    @property
    def last_alive(self) -> float:
        """When the last authenticated packet came (a STUN check with integrity, a DTLS record that
        decrypts); before the first, when the peer was made."""
        return max(self._created, self._ice.last_alive or 0.0, self._dtls.last_alive or 0.0)

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

    def set_local(self, ends: Sequence[LocalEnd]) -> None:
        """From where ICE may send checks. Before :meth:`set_remote`."""
        self._ice.set_local(ends)

    def set_remote(self, remote: RemoteParameters, now: float) -> None:
        """Take the SDP answer. May come before, during or after the DTLS handshake."""
        if self._closed:
            return
        self._ice.set_remote(remote.ufrag, remote.pwd, remote.candidates, now)
        if remote.setup == "passive" and self._dtls.is_server:
            self._dtls = DtlsSession(self._context, is_server=False)
            self._must_start = True
        self._dtls.set_fingerprints(remote.fingerprints)
        self._advance(now)

    def receive_untrusted(self, base: Base, data: bytes, address: Address, now: float) -> bool:
        """Take one datagram that is not SRTP. ``base`` is only handed back, as where to answer from.

        Whether it was an authenticated STUN message, which proves that the address is the peer's.
        """
        if self._closed:
            return False
        kind = classify(data)
        bad = None
        proven = False
        if kind is Kind.STUN:
            proven = self._ice.receive_untrusted(base, data, address, now)
            if self._sctp is not None and self._ice.selected is self._selected and not self._ice.failed:
                self._outbox += self._ice.datagrams()  # most checks are no news for the layers above
                return proven
        elif kind is not Kind.DTLS:
            raise BadPacket(Drop.UNKNOWN_PROTOCOL if data else Drop.EMPTY, kind.name)
        elif not self._ice.is_validated(base, address):
            raise BadPacket(Drop.DTLS_NO_PATH)
        else:
            try:
                self._dtls.receive_untrusted(data, now)
            except BadPacket as error:
                bad = error  # what came before the fault still counts
        bad = self._advance(now) or bad
        if bad is not None:
            raise bad
        return proven

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
        if not self._closed:
            self._shut(now)
            self._events.clear()

    def _advance(self, now: float) -> BadPacket | None:
        """Carry whatever one layer has for the next, bottom to top and down again.

        Returns the last fault in what DTLS carried.
        """
        self._advance_path(now)
        bad = self._advance_association(now)
        self._flush()
        reason = self._ice.failed or self._dtls.closed or (self._sctp and self._sctp.closed)
        if reason:
            self._shut(now)
            self._events.append(Closed(reason))
        return bad

    def _advance_path(self, now: float) -> None:
        selected = self._ice.selected
        if selected is not None and selected is not self._selected:
            self._selected = selected
            self._events.append(PathSelected(selected.base, selected.address))
        if self._must_start and self._ice.path is not None:
            self._must_start = False
            self._dtls.start(now)

    def _advance_association(self, now: float) -> BadPacket | None:
        if self._sctp is None:
            if self._dtls.srtp is None or self._dtls.closed is not None:
                return None
            self._events.append(Connected(self._dtls.srtp))
            self._sctp = SctpAssociation(self._random, now, is_server=self._dtls.is_server)
        bad = None
        for packet in self._dtls.received():
            try:
                self._sctp.receive_untrusted(packet, now)
            except BadPacket as error:
                bad = error
        self._events += (event for event in self._sctp.events() if not isinstance(event, Closed))
        return bad

    def _flush(self) -> None:
        """Encrypt what SCTP has to say and address everything."""
        if self._sctp is not None and self._dtls.closed is None:
            for packet in self._sctp.datagrams():
                self._dtls.send(packet)
        self._outbox += self._ice.datagrams()
        path = self._ice.path
        if path is not None:
            self._outbox += ((path.base, data, path.address) for data in self._dtls.datagrams())

    def _shut(self, now: float) -> None:
        self._closed = True
        if self._sctp is not None:
            self._sctp.close(now)
        self._flush()
        self._dtls.close()
        self._flush()
