"""DTLS and the data channel in it, from the client's side. No I/O."""

from __future__ import annotations

import os
from typing import TypeAlias

from sft.errors import BadPacket
from sft.webrtc.dtls import DtlsContext, DtlsSession
from sft.webrtc.events import ChannelOpen, Closed, Connected, Message
from sft.webrtc.sctp import SctpAssociation

Event: TypeAlias = Connected | ChannelOpen | Message | Closed


class Channel:
    """Mutate, then drain ``events()`` and ``datagrams()``, until ``deadline``."""

    def __init__(self, context: DtlsContext) -> None:
        self.started = False
        self.bad = 0
        """SCTP packets that make no sense."""
        self._dtls = DtlsSession(context, is_server=False)
        self._sctp: SctpAssociation | None = None
        self._events: list[Event] = []
        self._closed = False

    def set_fingerprint(self, fingerprint: str) -> None:
        """The server's, SHA-256."""
        self._dtls.set_fingerprints([("sha-256", fingerprint)])

    def start(self, now: float) -> None:
        self.started = True
        self._dtls.start(now)
        self._carry(now)

    def receive_untrusted(self, data: bytes, now: float) -> None:
        try:
            self._dtls.receive_untrusted(data, now)
        finally:
            self._carry(now)

    def say(self, text: str, now: float) -> None:
        """A message; nothing while the channel is not open."""
        if self._sctp is not None and self._sctp.is_open:
            self._sctp.send(text, now)
            self._carry(now)

    def handle_timeout(self, now: float) -> None:
        dtls, sctp = self._dtls, self._sctp
        if dtls.deadline is not None and now >= dtls.deadline:
            dtls.handle_timeout(now)
        if sctp is not None and (deadline := sctp.deadline) is not None and now >= deadline:
            sctp.handle_timeout(now)
        self._carry(now)

    @property
    def deadline(self) -> float | None:
        sctp = None if self._sctp is None else self._sctp.deadline
        return min((when for when in (self._dtls.deadline, sctp) if when is not None), default=None)

    def events(self) -> list[Event]:
        """What happened; drains. Closed is the last one."""
        events, self._events = self._events, []
        return events

    def datagrams(self) -> list[bytes]:
        """What is to be sent; drains."""
        return self._dtls.datagrams()

    def _carry(self, now: float) -> None:
        """Between DTLS and SCTP."""
        dtls = self._dtls
        if self._sctp is None and dtls.srtp is not None:
            self._sctp = SctpAssociation(os.urandom, now, is_server=False, opens_channel=False)
            self._events.append(Connected(dtls.srtp))
        if self._sctp is not None:
            for packet in dtls.received():
                try:
                    self._sctp.receive_untrusted(packet, now)
                except BadPacket:
                    self.bad += 1
            self._events += self._sctp.events()
            for packet in self._sctp.datagrams():
                if dtls.closed is None:
                    dtls.send(packet)
        if dtls.closed is not None and not self._closed:
            self._closed = True
            self._events.append(Closed(dtls.closed))
