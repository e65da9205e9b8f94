"""DTLS and SCTP without cryptography and without retransmission: what thousands of joins can afford.

They stand in for :class:`sft.webrtc.dtls.DtlsSession` and :class:`sft.webrtc.sctp.SctpAssociation` on both
sides of a connection; see :func:`without_cryptography`. What is sent is the same in order and kind: a
handshake that names a certificate, data after it, an alert at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sft.errors import BadPacket
from sft.model import Drop, SrtpParameters
from sft.webrtc.dtls import DtlsContext
from sft.webrtc.events import ChannelOpen, Closed, Message

VERSION = b"\xfe\x00"
"""Of no DTLS, but of its family: the kernel passes on what may be DTLS only."""

ALERT, HANDSHAKE, DATA = (bytes((content,)) + VERSION for content in (21, 22, 23))  # RFC 9147 section 4.1
OPEN, ACKNOWLEDGED, ABORT, TEXT = b"o", b"k", b"a", b"t"
KEYS = SrtpParameters("SRTP_AEAD_AES_128_GCM", bytes(28), bytes(28))


def without_cryptography(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on peers and test clients speak this."""
    for module in ("sft.webrtc.peer", "support.webrtc_client"):
        monkeypatch.setattr(f"{module}.DtlsSession", PlainDtls)
        monkeypatch.setattr(f"{module}.SctpAssociation", PlainSctp)


class PlainDtls:
    """One side's certificate for the other's, then packets as they are."""

    deadline: float | None = None

    def __init__(self, context: DtlsContext, *, is_server: bool) -> None:
        self.is_server = is_server
        self.srtp: SrtpParameters | None = None
        self.closed: str | None = None
        self.last_alive: float | None = None
        self._own = context.identity.fingerprint
        self._peers: str | None = None
        self._fingerprints: Sequence[tuple[str, str]] | None = None
        self._inbox: list[bytes] = []
        self._outbox: list[bytes] = []

    def start(self, now: float) -> None:
        self._outbox.append(HANDSHAKE + self._own.encode())

    def set_fingerprints(self, fingerprints: Sequence[tuple[str, str]]) -> None:
        self._fingerprints = tuple(fingerprints)
        self._verify()

    def receive_untrusted(self, data: bytes, now: float) -> None:
        if self.closed is not None:
            return
        content, text = data[:3], data[3:]
        if content == ALERT:
            self.closed = "DTLS close_notify"
        elif content == DATA:
            self._inbox.append(text)
        elif self._peers is None:
            if content != HANDSHAKE:
                self.closed = "DTLS handshake failed"
                raise BadPacket(Drop.DTLS_FAILED)
            self._peers = text.decode()
            if self.is_server:
                self.start(now)
        self.last_alive = now
        self._verify()

    def send(self, data: bytes) -> None:
        self._outbox.append(DATA + data)

    def handle_timeout(self, now: float) -> None:
        pass

    def close(self) -> None:
        if self.closed is None:
            self.closed = "closed by us"
            self._outbox.append(ALERT)

    def datagrams(self) -> list[bytes]:
        outbox, self._outbox = self._outbox, []
        return outbox

    def received(self) -> list[bytes]:
        if self.srtp is None:
            return []
        inbox, self._inbox = self._inbox, []
        return inbox

    def _verify(self) -> None:
        if self._peers is None or self._fingerprints is None or self.srtp is not None or self.closed:
            return
        if ("sha-256", self._peers) in self._fingerprints:
            self.srtp = KEYS
        else:
            self.closed = "the certificate does not match the fingerprint"


class PlainSctp:
    """One channel; a packet is a message."""

    deadline: float | None = None
    buffered = 0

    def __init__(self, *_: Any, is_server: bool, opens_channel: bool = True) -> None:
        self.closed: str | None = None
        self.is_open = False
        self._events: list[ChannelOpen | Message | Closed] = []
        self._packets: list[bytes] = [OPEN] if opens_channel else []

    def datagrams(self) -> list[bytes]:
        packets, self._packets = self._packets, []
        return packets

    def events(self) -> list[ChannelOpen | Message | Closed]:
        events, self._events = self._events, []
        return events

    def receive_untrusted(self, packet: bytes, now: float) -> None:
        match packet[:1]:
            case b"o" | b"k":
                self.is_open = True
                self._events.append(ChannelOpen())
                if packet == OPEN:
                    self._packets.append(ACKNOWLEDGED)
            case b"a":
                self.closed = "SCTP association ended by the peer"
                self._events.append(Closed(self.closed))
            case _:
                self._events.append(Message(packet[1:].decode()))

    def send(self, text: str, now: float) -> None:
        self._packets.append(TEXT + text.encode())

    def handle_timeout(self, now: float) -> None:
        pass

    def close(self, now: float) -> None:
        if self.closed is None:
            self.closed = "closed by us"
            self._packets.append(ABORT)
