"""The SDP offer (protocol section 3.4). The server always offers, and completely: nothing is trickled.

m-lines, in an order clients depend on: ``audio`` and ``video`` take the client's own media, ``data``
is SCTP, then come the slots, which only send: audio, then video.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import attrs

from sft.errors import LocalError
from sft.model import Candidate

MAX_SDP_BYTES = 32766
"""The client's buffer holds 32767 (protocol section 3.4.4). An offer with 9 video slots takes about
12 KB, with the most a client may ask for, 32, about 29 KB; each candidate takes up to 100 bytes."""

AUDIO_PAYLOAD = 111
VIDEO_PAYLOAD = 100
RTX_PAYLOAD = 101
SCTP_PORT = 5000

# Clients read name and version: from "sftd 2.1" on they use slots (protocol section 3.4.2).
TOOL = "sftd 5.0.1 (x86_64/linux)"

# Ids are fixed by the protocol (section 3.4.3). The audio level's "vad=on" is its default (RFC 6464
# section 4) and left out: aiortc cannot read an extension with parameters.
AUDIO_LEVEL = "1 urn:ietf:params:rtp-hdrext:ssrc-audio-level"
ABS_SEND_TIME = "2 http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_CC = "3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
RTP_STREAM_ID = "4 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RTP_STREAM_ID = "5 urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
FRAME_DESCRIPTOR = "11 http://www.webrtc.org/experiments/rtp-hdrext/generic-frame-descriptor-00"


class SlotOffer(Protocol):
    """What the offer says of a slot."""

    @property
    def mid(self) -> str: ...

    @property
    def ssrc(self) -> int: ...

    @property
    def label(self) -> str:
        """CNAME, stream id and track id in one: clients find the track of an SSRC by it."""


@attrs.frozen
class Feedback:
    """Which RTCP feedback (RFC 4585) the offer names, by section."""

    audio: tuple[str, ...] = ("transport-cc", "nack")
    video: tuple[str, ...] = ("transport-cc", "nack", "nack pli", "ccm fir")
    audio_slots: tuple[str, ...] = ("nack",)
    video_slots: tuple[str, ...] = ("goog-remb", "nack", "nack pli", "ccm fir")


WITHOUT_REMB = Feedback(video_slots=("nack", "nack pli", "ccm fir"))


@attrs.frozen(kw_only=True)
class OfferParameters:
    """Everything an offer depends on.

    ``host`` stands in the o= and c= lines; ``fingerprint`` is SHA-256 as SDP writes it;
    ``rtcp_ssrc`` is the sender of our RTCP, ``rtcp_label`` the stream it is said to belong to.
    """

    session_id: int
    session_version: int
    host: str
    ufrag: str
    pwd: str = attrs.field(repr=False)
    fingerprint: str
    setup: str = "actpass"
    candidates: Sequence[Candidate]
    lite: bool
    simulcast: bool
    audio_slots: Sequence[SlotOffer]
    video_slots: Sequence[SlotOffer]
    rtcp_ssrc: int
    rtcp_label: str
    feedback: Feedback = Feedback()
    tool: str = TOOL


def write_offer(parameters: OfferParameters) -> str:
    """The offer, with CRLF. LocalError: it would not fit a client's buffer, or a value breaks a line."""
    lines = list(_lines(parameters))
    if any("\r" in line or "\n" in line for line in lines):
        raise LocalError("a value in the offer contains a line break")
    sdp = "".join(f"{line}\r\n" for line in lines)
    if (size := len(sdp.encode())) > MAX_SDP_BYTES:
        raise LocalError(f"the offer takes {size} bytes, at most {MAX_SDP_BYTES} fit")
    return sdp


def _lines(p: OfferParameters) -> Iterator[str]:
    yield from _session(p)
    yield from _audio(p)
    yield from _video(p)
    yield from _data(p)
    for slot in p.audio_slots:
        yield from _audio_slot(p, slot)
    for slot in p.video_slots:
        yield from _video_slot(p, slot)


def _session(p: OfferParameters) -> Iterator[str]:
    slots = [slot.mid for slot in (*p.audio_slots, *p.video_slots)]
    yield "v=0"
    yield f"o=- {p.session_id} {p.session_version} IN {_address(p.host)}"
    yield "s=-"
    yield f"c=IN {_address(p.host)}"
    yield "t=0 0"
    yield f"a=tool:{p.tool}"
    if p.lite:
        yield "a=ice-lite"
    yield "a=extmap-allow-mixed:true"
    yield f"a=group:BUNDLE {' '.join(['audio', 'video', 'data', *slots])}"


def _audio(p: OfferParameters) -> Iterator[str]:
    yield from _opus()
    yield "a=rtcp:9"
    yield "a=sendrecv"
    yield "a=ptime:40"
    yield "a=mid:audio"
    yield from _extensions(AUDIO_LEVEL, ABS_SEND_TIME)
    yield from _feedback(AUDIO_PAYLOAD, p.feedback.audio)
    yield "a=rtcp-mux"
    yield from _transport(p)
    for candidate in p.candidates:
        yield f"a=candidate:{_candidate(candidate)}"
    yield "a=end-of-candidates"


def _video(p: OfferParameters) -> Iterator[str]:
    # Without RTX Chrome probes for bandwidth with padding under the numbers of its video, and what is lost of
    # it looks like video that is never repeated.
    yield f"m=video 9 UDP/TLS/RTP/SAVPF {VIDEO_PAYLOAD} {RTX_PAYLOAD}"
    yield f"a=rtpmap:{VIDEO_PAYLOAD} VP8/90000"
    yield f"a=rtpmap:{RTX_PAYLOAD} rtx/90000"
    yield f"a=fmtp:{RTX_PAYLOAD} apt={VIDEO_PAYLOAD}"
    yield "a=rtcp:9"
    yield "a=sendrecv"
    yield "a=mid:video"
    yield from _extensions(
        ABS_SEND_TIME, TRANSPORT_CC, RTP_STREAM_ID, REPAIRED_RTP_STREAM_ID, FRAME_DESCRIPTOR
    )
    yield "a=rtcp-mux"
    yield "a=rtcp-rsize"
    yield from _transport(p)
    yield from _feedback(VIDEO_PAYLOAD, p.feedback.video)
    # Without msid at media level Chrome sends no simulcast video at all, silently.
    yield f"a=msid:{p.rtcp_label} vtrack"
    yield from _source(p.rtcp_ssrc, p.rtcp_label)
    if p.simulcast:
        # Letter by letter: clients look for these very lines (protocol section 3.4.4).
        yield "a=rid:l recv"
        yield "a=rid:h recv"
        yield "a=simulcast:recv l;h"


def _data(p: OfferParameters) -> Iterator[str]:
    # The old spelling: clients turn the new one back into it for some browsers (section 3.4.3).
    yield f"m=application 9 DTLS/SCTP {SCTP_PORT}"
    yield "a=sendrecv"
    yield "a=mid:data"
    yield from _transport(p)
    yield f"a=sctpmap:{SCTP_PORT} webrtc-datachannel 16"


def _audio_slot(p: OfferParameters, slot: SlotOffer) -> Iterator[str]:
    yield from _opus("c=IN IP4 127.0.0.1")
    yield "a=sendonly"
    yield f"a=mid:{slot.mid}"
    yield "a=rtcp-mux"
    yield from _transport(p)
    yield from _extensions(AUDIO_LEVEL, ABS_SEND_TIME)
    yield from _feedback(AUDIO_PAYLOAD, p.feedback.audio_slots)
    yield from _source(slot.ssrc, slot.label)


def _video_slot(p: OfferParameters, slot: SlotOffer) -> Iterator[str]:
    yield f"m=video 9 UDP/TLS/RTP/SAVPF {VIDEO_PAYLOAD}"
    yield "c=IN IP4 127.0.0.1"
    yield f"a=rtpmap:{VIDEO_PAYLOAD} VP8/90000"
    yield "a=sendonly"
    yield f"a=mid:{slot.mid}"
    yield "a=rtcp-mux"
    yield "a=rtcp-rsize"
    yield from _transport(p)
    yield from _extensions(ABS_SEND_TIME, FRAME_DESCRIPTOR)
    yield from _feedback(VIDEO_PAYLOAD, p.feedback.video_slots)
    yield from _source(slot.ssrc, slot.label)


def _opus(*connection: str) -> Iterator[str]:
    yield f"m=audio 9 UDP/TLS/RTP/SAVPF {AUDIO_PAYLOAD}"
    yield from connection
    yield f"a=rtpmap:{AUDIO_PAYLOAD} opus/48000/2"
    yield f"a=fmtp:{AUDIO_PAYLOAD} stereo=0;sprop-stereo=0;useinbandfec=1;cbr=1"


def _transport(p: OfferParameters) -> Iterator[str]:
    yield f"a=ice-ufrag:{p.ufrag}"
    yield f"a=ice-pwd:{p.pwd}"
    yield f"a=fingerprint:sha-256 {p.fingerprint}"
    yield f"a=setup:{p.setup}"


def _extensions(*extensions: str) -> Iterator[str]:
    return (f"a=extmap:{extension}" for extension in extensions)


def _feedback(payload: int, kinds: Sequence[str]) -> Iterator[str]:
    return (f"a=rtcp-fb:{payload} {kind}" for kind in kinds)


def _source(ssrc: int, label: str) -> Iterator[str]:
    yield f"a=ssrc:{ssrc} cname:{label}"
    yield f"a=ssrc:{ssrc} msid:{label} {label}"


def _address(host: str) -> str:
    return f"IP6 {host}" if ":" in host else f"IP4 {host}"


def _candidate(candidate: Candidate) -> str:
    """RFC 8839 section 5.1, RFC 6544 section 4.5."""
    line = (
        f"{candidate.foundation} 1 {candidate.protocol.upper()} {candidate.priority} "
        f"{candidate.host} {candidate.port} typ {candidate.kind}"
    )
    if candidate.related_host is not None:
        line += f" raddr {candidate.related_host} rport {candidate.related_port or 0}"
    if candidate.tcptype is not None:
        line += f" tcptype {candidate.tcptype}"
    return line
