"""The entries of the arrays in messages: participants, wanted streams, ICE servers (protocol section 2)."""

from __future__ import annotations

import attrs

from sft.errors import BadPacket
from sft.model import IceServer, ParticipantId
from sft.signalling.fields import MAX_ID_BYTES, MAX_U32, MAX_URL_BYTES, Fields


@attrs.frozen
class Part:
    """One participant in CONFPART. ``timestamp`` is its join index, None: not said."""

    userid: str
    clientid: str
    ssrc_audio: int
    ssrc_video: int
    authorized: bool = False
    timestamp: int | None = None
    muted: bool | None = None

    @property
    def participant(self) -> ParticipantId:
        return ParticipantId(self.userid, self.clientid)


@attrs.frozen
class StreamRequest:
    """One wanted video in CONFSTREAMS; quality 0 any, 1 low, 2 high."""

    userid: str
    quality: int


def read_part(entry: Fields) -> Part | None:
    """None if the entry lacks a required key: such entries are skipped (protocol section 2.8)."""
    try:
        return Part(
            userid=entry.text("userid", limit=MAX_ID_BYTES),
            clientid=entry.text("clientid", limit=MAX_ID_BYTES),
            ssrc_audio=entry.decimal("ssrc_audio", most=MAX_U32),
            ssrc_video=entry.decimal("ssrc_video", most=MAX_U32),
            authorized=entry.flag("authorized"),
            timestamp=entry.number("timestamp") if "timestamp" in entry else None,
            muted=entry.flag("muted") if "muted" in entry else None,
        )
    except BadPacket:
        return None


def write_part(part: Part) -> dict[str, object]:
    entry: dict[str, object] = {
        "userid": part.userid,
        "clientid": part.clientid,
        "authorized": part.authorized,
        "ssrc_audio": str(part.ssrc_audio),
        "ssrc_video": str(part.ssrc_video),
    }
    if part.timestamp is not None:
        entry["timestamp"] = part.timestamp
    if part.muted is not None:
        entry["muted"] = part.muted
    return entry


def read_stream_request(entry: Fields) -> StreamRequest:
    """BadPacket if a key is missing: to skip the entry would move the others to other slots."""
    return StreamRequest(entry.text("userid", limit=MAX_ID_BYTES), entry.number("quality"))


def write_stream_request(request: StreamRequest) -> dict[str, object]:
    return {"userid": request.userid, "quality": request.quality}


def read_ice_server(entry: Fields) -> IceServer | None:
    """None if there is no URL: ``urls``, a string or an array whose first element counts, or ``url``."""
    key = "urls" if "urls" in entry else "url"
    try:
        urls = (
            entry.texts(key, MAX_URL_BYTES) if entry.is_array(key) else [entry.text(key, limit=MAX_URL_BYTES)]
        )
        username = entry.text("username", "", limit=MAX_ID_BYTES)
        credential = entry.text("credential", "", limit=MAX_ID_BYTES)
    except BadPacket:
        return None
    return IceServer(urls[0], username, credential) if urls else None


def write_ice_server(server: IceServer) -> dict[str, object]:
    return {"urls": server.url, "username": server.username, "credential": server.credential}
