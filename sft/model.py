"""Small values shared by all rooms of the house. No behaviour beyond reading and formatting them."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

import attrs

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int]
"""A socket address as the kernel gives it: (host, port) or (host, port, flow, scope)."""

RandomBytes: TypeAlias = Callable[[int], bytes]
"""Randomness as an argument: ``os.urandom`` in production, a seeded source in tests."""


class Drop(StrEnum):
    """Why something from the network went no further. Each value is one counter."""

    EMPTY = "empty"
    UNKNOWN_PROTOCOL = "unknown_protocol"
    TOO_LARGE = "too_large"
    STUN_MALFORMED = "stun_malformed"
    STUN_INTEGRITY = "stun_integrity"
    STUN_UNEXPECTED = "stun_unexpected"
    DTLS_MALFORMED = "dtls_malformed"
    DTLS_NO_PATH = "dtls_no_path"
    DTLS_FINGERPRINT = "dtls_fingerprint"
    DTLS_FAILED = "dtls_failed"
    SRTP_TOO_EARLY = "srtp_too_early"
    SRTP_AUTH = "srtp_auth"
    SRTP_REPLAY = "srtp_replay"
    RTP_MALFORMED = "rtp_malformed"
    RTP_UNKNOWN_SOURCE = "rtp_unknown_source"
    RTP_PADDING = "rtp_padding"
    RTP_LATE = "rtp_late"
    RTP_UNASKED = "rtp_unasked"
    RTP_SILENT = "rtp_silent"
    RTCP_MALFORMED = "rtcp_malformed"
    SCTP_MALFORMED = "sctp_malformed"
    CHANNEL_UNEXPECTED = "channel_unexpected"
    MESSAGE_MALFORMED = "message_malformed"
    MESSAGE_UNEXPECTED = "message_unexpected"
    MESSAGE_TOO_OFTEN = "message_too_often"
    SDP_MALFORMED = "sdp_malformed"
    NO_PEER = "no_peer"
    STRANGER = "stranger"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_STALLED = "connection_stalled"
    SLOW_READER = "slow_reader"
    SEND_BLOCKED = "send_blocked"
    SEND_FAILED = "send_failed"


class Drops:
    """Counts drops by reason; one per worker. Read at scrape time."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[Drop, int] = dict.fromkeys(Drop, 0)

    def count(self, reason: Drop) -> None:
        self.counts[reason] += 1


class MediaKind(StrEnum):
    AUDIO = "audio"
    VIDEO = "video"


@attrs.frozen
class Candidate:
    """An ICE candidate (RFC 8839 section 5.1), component 1."""

    foundation: str
    protocol: str  # "udp" | "tcp"
    priority: int
    host: str
    port: int
    kind: str = "host"  # host | srflx | prflx | relay
    related_host: str | None = None
    related_port: int | None = None
    tcptype: str | None = None  # RFC 6544: active | passive | so


@attrs.frozen
class PathKind:
    """What kind of way a participant's packets take; all empty while it is not connected."""

    transport: str = ""
    """Of the server's end: ``udp`` or ``tcp``."""
    local: str = ""
    """The server's end: ``host`` or ``relay``. A reflexive address leads to a host one."""
    remote: str = ""
    """The participant's end, as its answer calls that address: ``host``, ``srflx`` or ``relay``; ``prflx``
    if it was not named there, as behind a NAT, with a ``.local`` name, or by TCP."""

    def __str__(self) -> str:
        return f"{self.transport} {self.local}-{self.remote}" if self.transport else ""


class Ending(StrEnum):
    """How a connection ended: one word each, and no others."""

    HANGUP = "hangup"
    """The client said goodbye."""
    CONNECTION_ENDED = "connection_ended"
    """The client closed it, or it broke; the detail says how."""
    SILENCE = "silence"
    """Nothing authenticated came any more."""
    NO_PING = "no_ping"
    CHANNEL_STALLED = "channel_stalled"
    """The client does not read."""
    SERVER_STOPPED = "server_stopped"
    OFFERED_TIMEOUT = "offered_timeout"
    """A join that did not get on: no answer came..."""
    ANSWERED_TIMEOUT = "answered_timeout"
    """... no path or handshake..."""
    CONNECTED_TIMEOUT = "connected_timeout"
    """... no data channel."""
    SUPERSEDED = "superseded"
    """A join whose participant began another one."""
    REPLACED = "replaced"
    """The participant's next one took over."""


LEAVING = tuple(one for one in Ending if one not in (Ending.SUPERSEDED, Ending.REPLACED))
"""What may end a participant's last connection, so it leaves."""


@attrs.frozen
class IceServer:
    """A STUN or TURN server as a client names it in CONFCONN (protocol section 2.4.1)."""

    url: str
    username: str = ""
    credential: str = attrs.field(default="", repr=False)


@attrs.frozen
class DtlsIdentity:
    """A DTLS certificate and its key in PEM, and the certificate's SHA-256 fingerprint as SDP writes it."""

    certificate_pem: bytes
    key_pem: bytes = attrs.field(repr=False)
    fingerprint: str  # "AB:CD:..." upper case


@attrs.frozen
class SrtpParameters:
    """What DTLS-SRTP (RFC 5764) yields: profile name and master key || master salt per direction."""

    profile: str  # SRTP_AEAD_AES_128_GCM | SRTP_AEAD_AES_256_GCM | SRTP_AES128_CM_SHA1_80
    inbound: bytes = attrs.field(repr=False)
    outbound: bytes = attrs.field(repr=False)


@attrs.frozen
class ParticipantId:
    """One device in a call: the opaque hashes the client calls itself by (protocol section 5.1)."""

    user: str
    client: str

    def __str__(self) -> str:
        return f"{self.user[:8]}.{self.client}"


@attrs.frozen
class RosterEntry:
    """One participant of a call's roster."""

    user: str
    client: str
    joined: int
    """Join index: rises with every join and reconnect of the call, never reused."""

    @property
    def participant(self) -> ParticipantId:
        return ParticipantId(self.user, self.client)


@attrs.frozen(kw_only=True)
class PhaseRecord:
    """A part of a join. Times are Unix seconds."""

    phase: str
    began: float
    ended: float
    done: bool = True
    """False: the join ended in the middle of it."""


@attrs.frozen(kw_only=True)
class JoinRecord:
    """One join that is over, and when it got how far. Times are Unix seconds."""

    call: str
    participant: ParticipantId
    outcome: str
    """As in ``sft_joins_total``: ``established``, what was missing, or why there was no offer."""
    began: float
    """Its request was there."""
    ended: float
    """The data channel was open, the join was given up, or refused."""
    phases: tuple[PhaseRecord, ...] = ()
    """``offer``, ``http``, ``ice``, ``dtls``, ``channel``, ``media``, as far as it got. Each begins when it
    can, so they overlap: a client may have a path before its answer is here."""
    update: bool = False
    """The client calls it an UPDATE: it has been in the call."""
    path: PathKind = PathKind()
    worker: int | None = None
    """None: it got no offer."""
    traceparent: str = ""
    """The client's HTTP header of this name (W3C Trace Context), unread and not to be trusted; at most 128
    characters."""


class EnvelopeVerdict(StrEnum):
    """What becomes of a key envelope. HOLD: ask again every second and at each roster change."""

    ALLOW = "allow"
    REFUSE = "refuse"
    HOLD = "hold"


@attrs.frozen
class WorkerLoad:
    """What the gateway knows about a worker when it places a call."""

    worker: int
    packets_per_second: float = 0.0
    """Received and sent, over the last second."""
    loop_lag: float = 0.0
    """Seconds the worker's loop came late in the last second, at worst."""
    participants: int = 0
    calls: int = 0
    free_ports: int = 0
    """Participants its transports could still take."""
    draining: bool = False
