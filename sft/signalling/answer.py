"""The SDP answer: what the server takes from it, and what it insists on (protocol section 3.5).

A browser's answer passes through the client's own library, which writes it anew; so this reader
goes by attributes, wherever they stand, and by the order of m-lines, which an answer may not change.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from itertools import islice
from typing import Literal

import attrs

from sft.model import Candidate
from sft.signalling.sdp import Description, Section, decimal, malformed, read_description_untrusted

MAX_CANDIDATES = 32

DEFAULT_SCTP_PORT = 5000
DEFAULT_MAX_MESSAGE_SIZE = 65536  # RFC 8841 section 6.1

_MAX_U32 = 2**32 - 1
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_UFRAG = re.compile(r"[A-Za-z0-9+/]{4,256}")  # RFC 8839 section 5.4
_PWD = re.compile(r"[A-Za-z0-9+/]{22,256}")
_FOUNDATION = re.compile(r"[A-Za-z0-9+/]{1,32}")
_RID = re.compile(r"[A-Za-z0-9_-]{1,255}")  # RFC 8851 section 10
_FINGERPRINT = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2})+")
_SHA256_CHARS = 32 * 3 - 1


@attrs.frozen(kw_only=True)
class Answer:
    """What an answer says. Feedback and rejections are by mid.

    ``audio_ssrc`` None: no microphone. ``video_ssrcs`` is empty for browsers that send simulcast: their
    layers are known by the RID header extension only. ``sctp_port`` None: no data channel.
    ``max_message_size`` in bytes, 0: no limit.
    """

    ufrag: str
    pwd: str = attrs.field(repr=False)
    fingerprints: tuple[tuple[str, str], ...]  # algorithm in lower, value in upper case; a sha-256 among them
    setup: Literal["active", "passive", "actpass"]
    candidates: tuple[Candidate, ...] = ()
    ice_lite: bool = False
    audio_ssrc: int | None = None
    video_ssrcs: tuple[int, ...] = ()
    rids: tuple[str, ...] = ()
    video_direction: str = "inactive"
    feedback: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    rejected: frozenset[str] = frozenset()
    sctp_port: int | None = None
    max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE

    def takes(self, mid: str, feedback: str) -> bool:
        """Whether the client took this feedback, e.g. ``nack pli``, in this m-line."""
        return feedback in self.feedback.get(mid, ())


def read_answer_untrusted(sdp: str) -> Answer:
    """Read the answer to one of our offers."""
    description = read_description_untrusted(sdp)
    if not description.media or description.media[0].kind != "audio":
        raise malformed("the first m-line is not audio")
    audio = description.media[0]
    if audio.port == 0:
        raise malformed("audio is rejected")
    if audio.value("rtcp-mux") is None:
        raise malformed("no rtcp-mux")
    video = _first(description, "video")
    data = _first(description, "application")
    mids = [(section, mid) for section in description.media if (mid := section.value("mid")) is not None]
    ssrcs = _read_ssrcs(audio)
    return Answer(
        ufrag=_matching(description, audio, "ice-ufrag", _UFRAG),
        pwd=_matching(description, audio, "ice-pwd", _PWD),
        fingerprints=_read_fingerprints(description.values(audio, "fingerprint")),
        setup=_read_setup(description.value(audio, "setup")),
        candidates=_read_candidates(audio.values("candidate")),
        ice_lite=description.session.value("ice-lite") is not None,
        audio_ssrc=ssrcs[0] if ssrcs else None,
        video_ssrcs=_read_ssrcs(video) if video else (),
        rids=_read_rids(video) if video else (),
        video_direction=_read_direction(description, video) if video and video.port else "inactive",
        feedback={mid: _read_feedback(section) for section, mid in mids},
        rejected=frozenset(mid for section, mid in mids if section.port == 0),
        sctp_port=_read_sctp_port(data) if data and data.port else None,
        max_message_size=_read_max_message_size(data) if data else DEFAULT_MAX_MESSAGE_SIZE,
    )


def _first(description: Description, kind: str) -> Section | None:
    return next((section for section in description.media if section.kind == kind), None)


def _matching(description: Description, section: Section, name: str, pattern: re.Pattern[str]) -> str:
    value = description.value(section, name)
    if value is None or not pattern.fullmatch(value):
        raise malformed(f"{name} is missing or malformed")
    return value


def _read_fingerprints(values: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """``<algorithm> <hex pairs>`` (RFC 8122 section 5)."""
    fingerprints = []
    for value in values:
        algorithm, _, digest = value.partition(" ")
        algorithm, digest = algorithm.lower(), digest.strip().upper()
        if _FINGERPRINT.fullmatch(digest) and (algorithm != "sha-256" or len(digest) == _SHA256_CHARS):
            fingerprints.append((algorithm, digest))
    if not any(algorithm == "sha-256" for algorithm, _ in fingerprints):
        raise malformed("no sha-256 fingerprint")
    return tuple(fingerprints)


def _read_setup(value: str | None) -> Literal["active", "passive", "actpass"]:
    match value:
        case "active" | "passive" | "actpass":
            return value
    raise malformed("setup is missing or malformed")


def _read_direction(description: Description, section: Section) -> str:
    for level in (section, description.session):
        for name, _ in level.attributes:
            if name in _DIRECTIONS:
                return name
    return "sendrecv"  # RFC 8866 section 6.7


def _read_ssrcs(section: Section) -> tuple[int, ...]:
    """``<ssrc> <attribute>`` (RFC 5576 section 4.1): each SSRC once, as they come."""
    numbers = (decimal(value.partition(" ")[0], _MAX_U32) for value in section.values("ssrc"))
    return tuple(dict.fromkeys(number for number in numbers if number is not None))


def _read_rids(section: Section) -> tuple[str, ...]:
    """``<rid> send ...`` (RFC 8851 section 10)."""
    words = (value.split() for value in section.values("rid"))
    return tuple(word[0] for word in words if word[1:2] == ["send"] and _RID.fullmatch(word[0]))


def _read_feedback(section: Section) -> frozenset[str]:
    """``<payload type or *> <feedback>`` (RFC 4585 section 4.2), whatever the payload type."""
    kinds = (value.partition(" ")[2] for value in section.values("rtcp-fb"))
    return frozenset(" ".join(kind.lower().split()) for kind in kinds)


def _read_sctp_port(section: Section) -> int | None:
    """``sctp-port:N`` (RFC 8841), or the old ``sctpmap:N ...``, or the m-line's format; also mixed."""
    if "SCTP" not in section.protocol.upper().split("/"):
        return None
    sctpmap = section.value("sctpmap")
    spellings = (section.value("sctp-port"), sctpmap and sctpmap.split(" ")[0], *section.formats[:1])
    ports = (decimal(text, 65535) for text in spellings if text)
    return next(filter(None, ports), DEFAULT_SCTP_PORT)


def _read_max_message_size(section: Section) -> int:
    size = decimal(section.value("max-message-size") or "", 2**63)
    return DEFAULT_MAX_MESSAGE_SIZE if size is None else size


def _read_candidates(values: Iterable[str]) -> tuple[Candidate, ...]:
    """Those we can use, at most 32; the rest is skipped: peer-reflexive learning makes up for it."""
    candidates = (candidate for value in values if (candidate := _read_candidate(value)) is not None)
    return tuple(islice(candidates, MAX_CANDIDATES))


def _read_candidate(text: str) -> Candidate | None:
    """``foundation component protocol priority host port typ kind [name value]...`` (RFC 8839 section 5.1).

    None: malformed, RTCP, a name in place of an address (mDNS), an address nobody listens on, or TCP
    that the client would open itself.
    """
    words = text.split()
    if len(words) < 8 or words[6] != "typ":
        return None
    foundation, component, protocol, priority, host, port, _, kind = words[:8]
    extensions = dict(zip(words[8::2], words[9::2], strict=False))
    protocol, tcptype = protocol.lower(), extensions.get("tcptype")
    rank, number = decimal(priority, _MAX_U32), decimal(port, 65535)
    if not _FOUNDATION.fullmatch(foundation) or component != "1" or rank is None:
        return None
    if not number or not _is_reachable(host):
        return None
    if protocol != "udp" and (protocol != "tcp" or tcptype not in ("passive", "so")):
        return None
    if kind not in ("host", "srflx", "prflx", "relay"):
        return None
    related_host, related_port = extensions.get("raddr"), decimal(extensions.get("rport", ""), 65535)
    if related_host is not None and not _is_address(related_host):
        related_host = related_port = None
    return Candidate(foundation, protocol, rank, host, number, kind, related_host, related_port, tcptype)


def _is_address(host: str) -> bool:
    """Whether this is an IP address, without a zone, which would mean something only elsewhere."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host


def _is_reachable(host: str) -> bool:
    """Whether this is an IP address of one host."""
    if not _is_address(host):
        return False
    address = ip_address(host)
    return not (address.is_multicast or address.is_unspecified)
