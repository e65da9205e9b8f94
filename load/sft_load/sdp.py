"""The server's offer, as far as a load client needs it, and the answer (protocol sections 3.4, 3.5)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from sft.errors import BadPacket
from sft.signalling.sdp import Description, Section, read_description_untrusted
from sft_load.errors import JoinError

FEEDBACK = ("nack pli", "ccm fir")
"""What we take for video. No ``nack``: a packet that was lost shall be seen, not repaired."""


@attrs.frozen(kw_only=True)
class Offer:
    description: Description = attrs.field(repr=False)
    ufrag: str
    pwd: str = attrs.field(repr=False)
    fingerprint: str
    lite: bool
    simulcast: bool
    candidates: tuple[tuple[str, int], ...]
    """Where UDP may go, best first."""
    audio_slots: tuple[int, ...]
    video_slots: tuple[int, ...]
    """Their SSRCs."""


@attrs.frozen(kw_only=True)
class Ours:
    """What the answer says of us. ``video_ssrc`` None: the layers are found by their RIDs."""

    ufrag: str
    pwd: str = attrs.field(repr=False)
    fingerprint: str
    audio_ssrc: int
    video_ssrc: int | None
    rids: Sequence[str]


def read_offer(sdp: str) -> Offer:
    """JoinError says what is missing."""
    try:
        description = read_description_untrusted(sdp)
        first = description.media[0]
        fingerprint = _need(description, first, "fingerprint").split()
        if fingerprint[0].lower() != "sha-256":
            raise JoinError("the offer has no sha-256 fingerprint")
        if _need(description, first, "setup") not in ("actpass", "passive"):
            raise JoinError("the offer does not let the client begin DTLS")
        return Offer(
            description=description,
            ufrag=_need(description, first, "ice-ufrag"),
            pwd=_need(description, first, "ice-pwd"),
            fingerprint=fingerprint[1].upper(),
            lite=description.session.value("ice-lite") is not None,
            simulcast=any(section.value("simulcast") is not None for section in description.media),
            candidates=_candidates(first),
            audio_slots=_slots(description, "audio"),
            video_slots=_slots(description, "video"),
        )
    except (BadPacket, IndexError, ValueError) as error:
        raise JoinError(f"unreadable offer: {error}") from None


def write_answer(offer: Offer, ours: Ours) -> str:
    """Every m-line of the offer in its order, accepted."""
    return "".join(f"{line}\r\n" for line in _lines(offer, ours))


def _lines(offer: Offer, ours: Ours) -> Iterator[str]:
    group = offer.description.session.value("group")
    yield from ("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0")
    if group is not None:
        yield f"a=group:{group}"
    for section in offer.description.media:
        yield f"m={section.kind} 9 {section.protocol} {' '.join(section.formats)}"
        yield "c=IN IP4 0.0.0.0"
        yield f"a=mid:{section.value('mid') or ''}"
        yield f"a=ice-ufrag:{ours.ufrag}"
        yield f"a=ice-pwd:{ours.pwd}"
        yield f"a=fingerprint:sha-256 {ours.fingerprint}"
        yield "a=setup:active"
        if section.kind != "application":
            yield from _media(section, ours)
        elif (sctpmap := section.value("sctpmap")) is not None:
            yield f"a=sctpmap:{sctpmap}"


def _media(section: Section, ours: Ours) -> Iterator[str]:
    yield "a=rtcp-mux"
    yield from (f"a=rtpmap:{value}" for value in section.values("rtpmap"))
    yield from (f"a=extmap:{value}" for value in section.values("extmap"))
    if section.kind == "video":
        yield from (f"a=rtcp-fb:{section.formats[0]} {feedback}" for feedback in FEEDBACK)
    if _is_slot(section):
        yield "a=recvonly"
        return
    yield "a=sendrecv"
    if section.kind == "audio":
        yield f"a=ssrc:{ours.audio_ssrc} cname:load"
    elif ours.video_ssrc is not None:
        yield f"a=ssrc:{ours.video_ssrc} cname:load"
    else:
        yield from (f"a=rid:{rid} send" for rid in ours.rids)
        yield f"a=simulcast:send {';'.join(ours.rids)}"


def _is_slot(section: Section) -> bool:
    return section.value("sendonly") is not None


def _slots(description: Description, kind: str) -> tuple[int, ...]:
    slots = [section for section in description.media if section.kind == kind and _is_slot(section)]
    return tuple(int((slot.value("ssrc") or "").split(" ")[0]) for slot in slots)


def _candidates(section: Section) -> tuple[tuple[str, int], ...]:
    """RFC 8839 section 5.1: foundation, component, protocol, priority, host, port."""
    words = [value.split() for value in section.values("candidate")]
    udp = [(-int(word[3]), word[4], int(word[5])) for word in words if word[2].lower() == "udp"]
    return tuple((host, port) for _, host, port in sorted(udp))


def _need(description: Description, section: Section, name: str) -> str:
    value = description.value(section, name)
    if value is None:
        raise JoinError(f"the offer has no {name}")
    return value
