"""The messages between a client and the server: one JSON object each (protocol section 2).

Every class below is one message and reads and writes its own keys; the envelope around them is
:class:`Message`. Names are those of the wire. ``decode_untrusted`` and ``encode`` are the two ways
through; what the server itself says is put together in :mod:`sft.signalling.replies`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, ClassVar

import attrs

from sft.model import IceServer, ParticipantId
from sft.signalling.entries import (
    Part,
    StreamRequest,
    read_ice_server,
    read_part,
    read_stream_request,
    write_ice_server,
    write_part,
    write_stream_request,
)
from sft.signalling.fields import (
    MAX_I64,
    MAX_ID_BYTES,
    MAX_U32,
    MAX_URL_BYTES,
    Fields,
    malformed,
    parse_object_untrusted,
)

VERSION = "3.0"
MAX_MESSAGE_BYTES = 65536
MAX_VSTREAMS = 32
MAX_ENVELOPE_CHARS = 4096
MAX_ICE_SERVERS = 16


class Status(IntEnum):
    """What CONFCONN tells a client about its join (protocol section 2.4.2)."""

    OK = 0
    CLIENT_BLOCKED = 1
    CREDENTIALS_INVALID = 2
    CREDENTIALS_EXPIRED = 3
    LIMIT_REACHED = 4
    MAY_NOT_START = 5


@attrs.frozen(kw_only=True)
class Message:
    """The envelope (protocol section 2.1). Ids are cut at 127 bytes; empty ones are not written."""

    TYPE: ClassVar[str]

    sessid: str = ""
    src_userid: str = ""
    src_clientid: str = ""
    dest_userid: str = ""
    dest_clientid: str = ""
    resp: bool = False

    @property
    def sender(self) -> ParticipantId:
        return ParticipantId(self.src_userid, self.src_clientid)

    @classmethod
    def _read(cls, fields: Fields) -> dict[str, Any]:
        """The message's own keys as arguments of its class."""
        return {}

    def _write(self) -> dict[str, object]:
        """The message's own keys, in the order of the wire."""
        return {}


@attrs.frozen(kw_only=True)
class ConfConn(Message):
    """CONFCONN: a client asks to join; the server acknowledges or refuses (protocol section 2.4)."""

    TYPE = "CONFCONN"

    ice_servers: tuple[IceServer, ...] = ()
    update: bool = False
    tool: str = ""
    toolver: str = ""
    env: int | None = None
    status: int = Status.OK
    selective_audio: bool = False
    selective_video: bool = False
    vstreams: int = 0
    sft_url: str = ""
    sft_tuple: str = ""
    username: str = ""
    credential: str = attrs.field(default="", repr=False)

    @classmethod
    def _read(cls, fields: Fields) -> dict[str, Any]:
        servers = map(read_ice_server, fields.objects("ice_servers", optional=True))
        return {
            "ice_servers": tuple(filter(None, servers))[:MAX_ICE_SERVERS],
            "update": fields.flag("update", False),
            "tool": fields.text("tool", ""),
            "toolver": fields.text("toolver", ""),
            "env": fields.number("env") if "env" in fields else None,
            "status": fields.number("status", 0),
            "selective_audio": fields.flag("selective_audio", False),
            "selective_video": fields.flag("selective_video", False),
            "vstreams": min(max(fields.number("vstreams", 0), 0), MAX_VSTREAMS),
            "sft_url": fields.text("sft_url", ""),
            "sft_tuple": fields.text("sft_tuple", ""),
            "username": fields.text("username", ""),
            "credential": fields.text("credential", ""),
        }

    def _write(self) -> dict[str, object]:
        return {
            **_present(ice_servers=[write_ice_server(server) for server in self.ice_servers]),
            "update": self.update,
            "tool": self.tool,
            "toolver": self.toolver,
            **({} if self.env is None else {"env": self.env}),
            "status": int(self.status),
            "selective_audio": self.selective_audio,
            "selective_video": self.selective_video,
            "vstreams": self.vstreams,
            **_present(
                sft_url=self.sft_url,
                sft_tuple=self.sft_tuple,
                username=self.username,
                credential=self.credential,
            ),
        }


@attrs.frozen(kw_only=True)
class Setup(Message):
    """SETUP: the SDP offer (``resp`` false) or answer of a join (protocol section 2.5)."""

    TYPE = "SETUP"

    sdp: str = attrs.field(repr=False)  # holds the ICE password
    props: Mapping[str, str] = attrs.field(factory=dict)
    url: str = ""
    sft_tuple: str = ""

    @classmethod
    def _read(cls, fields: Fields) -> dict[str, Any]:
        return {"props": fields.props("props"), **_read_description(fields)}

    def _write(self) -> dict[str, object]:
        return {
            "sdp": self.sdp,
            "props": dict(self.props),
            **_present(url=self.url, sft_tuple=self.sft_tuple),
        }


@attrs.frozen(kw_only=True)
class Update(Message):
    """UPDATE: offer or answer of a renegotiation (protocol section 2.6)."""

    TYPE = "UPDATE"

    sdp: str = attrs.field(repr=False)  # holds the ICE password
    props: Mapping[str, str] = attrs.field(factory=dict)
    url: str = ""
    sft_tuple: str = ""

    @classmethod
    def _read(cls, fields: Fields) -> dict[str, Any]:
        return {"props": fields.props("props", optional=True), **_read_description(fields)}

    def _write(self) -> dict[str, object]:
        return {
            "sdp": self.sdp,
            **_present(props=dict(self.props), url=self.url, sft_tuple=self.sft_tuple),
        }


@attrs.frozen(kw_only=True)
class Cancel(Message):
    """CANCEL: the join was given up while its request was held (protocol section 2.12)."""

    TYPE = "CANCEL"


@attrs.frozen(kw_only=True)
class Hangup(Message):
    """HANGUP: the sender leaves (protocol section 2.11)."""

    TYPE = "HANGUP"


@attrs.frozen(kw_only=True)
class Ping(Message):
    """PING: the client is alive (protocol section 2.10)."""

    TYPE = "PING"


@attrs.frozen(kw_only=True)
class PropSync(Message):
    """PROPSYNC: mute and video flags, also names we do not know (protocol section 2.7)."""

    TYPE = "PROPSYNC"

    props: Mapping[str, str]

    @classmethod
    def _read(cls, fields: Fields) -> dict[str, Any]:
        return {"props": fields.props("props")}

    def _write(self) -> dict[str, object]:
        return {"props": dict(self.props)}


@attrs.frozen(kw_only=True)
class ConfPart(Message):
    """CONFPART: who is in the call, or whom a client trusts (protocol section 2.8).

    ``timestamp`` is unix time in milliseconds; ``entropy`` 16 random bytes or nothing.
    """

    TYPE = "CONFPART"

    participants: tuple[Part, ...]
    should_start: bool = False
    timestamp: int = 0
    seqno: int = 0
    entropy: bytes = b""
    sfts: tuple[str, ...] = ()

    @classmethod
    def _read(cls, fields: Fields) -> dict[str, Any]:
        return {
            "participants": tuple(filter(None, map(read_part, fields.objects("participants")))),
            "should_start": fields.flag("should_start", False),
            "timestamp": fields.decimal("timestamp", "0", most=MAX_I64),
            "seqno": fields.decimal("seqno", "0", most=MAX_U32),
            "entropy": _read_base64(fields, "entropy", fields.text("entropy", "")),
            "sfts": fields.texts("sfts", MAX_URL_BYTES, optional=True),
        }

    def _write(self) -> dict[str, object]:
        return {
            "should_start": self.should_start,
            "timestamp": str(self.timestamp),
            "seqno": str(self.seqno),
            **_present(entropy=base64.b64encode(self.entropy).decode()),
            "participants": [write_part(part) for part in self.participants],
            **_present(sfts=list(self.sfts)),
        }


@attrs.frozen(kw_only=True)
class ConfStreams(Message):
    """CONFSTREAMS: the videos a client wants; the index is the video slot (protocol section 2.9)."""

    TYPE = "CONFSTREAMS"

    streams: tuple[StreamRequest, ...]
    mode: str = "list"

    @classmethod
    def _read(cls, fields: Fields) -> dict[str, Any]:
        streams = tuple(map(read_stream_request, fields.objects("streams")))
        return {"streams": streams, "mode": fields.text("mode")}

    def _write(self) -> dict[str, object]:
        return {"mode": self.mode, "streams": [write_stream_request(stream) for stream in self.streams]}


@attrs.frozen(kw_only=True)
class KeyEnvelope(Message):
    """KEYENVELOPE: an end-to-end encrypted blob the server only carries. Ours; Wire has no such message.

    ``recipients`` are user ids, none: everybody. ``envelope`` is base64, at most 4096 characters.
    """

    TYPE = "KEYENVELOPE"

    envelope: str = attrs.field(repr=False)
    recipients: tuple[str, ...] = ()

    @classmethod
    def _read(cls, fields: Fields) -> dict[str, Any]:
        envelope = fields.text("envelope")
        if len(envelope) > MAX_ENVELOPE_CHARS:
            raise malformed(f"envelope has {len(envelope)} characters")
        _read_base64(fields, "envelope", envelope)
        return {
            "envelope": envelope,
            "recipients": fields.texts("recipients", MAX_ID_BYTES, optional=True),
        }

    def _write(self) -> dict[str, object]:
        return {**_present(recipients=list(self.recipients)), "envelope": self.envelope}


MESSAGES: Mapping[str, type[Message]] = {
    message.TYPE: message
    for message in (
        ConfConn,
        Setup,
        Update,
        Cancel,
        Hangup,
        Ping,
        PropSync,
        ConfPart,
        ConfStreams,
        KeyEnvelope,
    )
}


def decode_untrusted(data: bytes | str, max_bytes: int = MAX_MESSAGE_BYTES) -> Message:
    """Read one message; ``max_bytes`` bounds its length (characters, if ``data`` is text)."""
    fields = parse_object_untrusted(data, max_bytes)
    if (version := fields.text("version")) != VERSION:
        raise malformed(f"version is {version[:20]!r}")
    name = fields.text("type")
    message = MESSAGES.get(name.upper())
    if message is None:
        raise malformed(f"type is {name[:20]!r}")
    return message(
        sessid=fields.text("sessid", limit=MAX_ID_BYTES),
        src_userid=fields.text("src_userid", "", limit=MAX_ID_BYTES),
        src_clientid=fields.text("src_clientid", "", limit=MAX_ID_BYTES),
        dest_userid=fields.text("dest_userid", "", limit=MAX_ID_BYTES),
        dest_clientid=fields.text("dest_clientid", "", limit=MAX_ID_BYTES),
        resp=fields.flag("resp"),
        **message._read(fields),
    )


def encode(message: Message) -> str:
    """The message as compact JSON."""
    envelope = {
        "version": VERSION,
        "type": message.TYPE,
        "sessid": message.sessid,
        **_present(
            src_userid=message.src_userid,
            src_clientid=message.src_clientid,
            dest_userid=message.dest_userid,
            dest_clientid=message.dest_clientid,
        ),
        "resp": message.resp,
        **message._write(),
    }
    return json.dumps(envelope, separators=(",", ":"), ensure_ascii=False)


def _present(**values: object) -> dict[str, object]:
    """Those of the values that are not empty."""
    return {key: value for key, value in values.items() if value}


def _read_description(fields: Fields) -> dict[str, Any]:
    return {
        "sdp": fields.text("sdp"),
        "url": fields.text("url", ""),
        "sft_tuple": fields.text("sft_tuple", ""),
    }


def _read_base64(fields: Fields, key: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise malformed(f"{key} is not base64") from None
