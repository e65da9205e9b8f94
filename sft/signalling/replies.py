"""What the server itself says, with the names it goes by on the wire (protocol section 2.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sft.model import ParticipantId
from sft.signalling.entries import Part
from sft.signalling.messages import (
    Cancel,
    ConfConn,
    ConfPart,
    Hangup,
    KeyEnvelope,
    Ping,
    PropSync,
    Setup,
    Status,
    Update,
)

SERVER = ParticipantId("sft", "_")
"""Lower case, and the same in all messages: browsers check it (protocol section 2.3)."""

SERVER_PROPS: Mapping[str, str] = {
    "videosend": "false",
    "screensend": "false",
    "audiocbr": "false",
    "muted": "false",
}
"""SETUP must carry props; those of the server mean nothing to a client (protocol section 2.5)."""


def confconn_ack(call: str) -> ConfConn:
    """The immediate reply to an SDP answer."""
    return ConfConn(sessid=call, src_userid="sft", src_clientid="sft", resp=True)


def confconn_refusal(call: str, status: Status) -> ConfConn:
    """The reply in place of SETUP when a client may not join."""
    return ConfConn(sessid=call, status=status)


def setup_offer(call: str, sdp: str, url: str) -> Setup:
    """The offer of a join; ``url`` is this instance's, the client sends its answer there."""
    return Setup(
        sessid=call,
        src_userid=SERVER.user,
        src_clientid=SERVER.client,
        sdp=sdp,
        props=SERVER_PROPS,
        url=url,
    )


def update_offer(call: str, to: ParticipantId, sdp: str, url: str = "") -> Update:
    """The offer of a renegotiation; with ``url`` if the server did not know the participant."""
    return Update(
        sessid=call,
        src_userid=SERVER.user,
        src_clientid=SERVER.client,
        dest_userid=to.user,
        dest_clientid=to.client,
        sdp=sdp,
        props=SERVER_PROPS,
        url=url,
    )


def cancel(call: str) -> Cancel:
    """The held request ends without an offer."""
    return Cancel(sessid=call, src_userid=SERVER.user, src_clientid=SERVER.client)


def pong(call: str, to: ParticipantId) -> Ping:
    """The answer to a PING."""
    return Ping(
        sessid=call,
        src_userid=SERVER.user,
        src_clientid=SERVER.client,
        dest_userid=to.user,
        dest_clientid=to.client,
        resp=True,
    )


def hangup(call: str, to: ParticipantId, *, resp: bool) -> Hangup:
    """The server ends the connection (``resp`` false) or agrees that the client leaves (true)."""
    return Hangup(
        sessid=call,
        src_userid=SERVER.user,
        src_clientid=SERVER.client,
        dest_userid=to.user,
        dest_clientid=to.client,
        resp=resp,
    )


def propsync_relay(origin: ParticipantId, props: Mapping[str, str]) -> PropSync:
    """A participant's props for the others, whole, in its own name."""
    return PropSync(src_userid=origin.user, src_clientid=origin.client, resp=True, props=props)


def key_envelope_relay(call: str, origin: ParticipantId, envelope: str) -> KeyEnvelope:
    """A participant's key envelope for another one, in its own name."""
    return KeyEnvelope(
        sessid=call, src_userid=origin.user, src_clientid=origin.client, resp=True, envelope=envelope
    )


def confpart_list(
    participants: Sequence[Part],
    *,
    should_start: bool,
    timestamp: int,
    seqno: int,
    entropy: bytes,
    sfts: Sequence[str],
) -> ConfPart:
    """The list of who is in the call: unix time in ms, a counter, 16 random bytes, our URL first."""
    return ConfPart(
        participants=tuple(participants),
        should_start=should_start,
        timestamp=timestamp,
        seqno=seqno,
        entropy=entropy,
        sfts=tuple(sfts),
    )
