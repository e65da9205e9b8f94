"""The client's messages (protocol section 2), written as it writes them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs

from sft_load.errors import JoinError

PROPS = {"videosend": "true", "screensend": "false", "audiocbr": "false", "muted": "false"}
LOW, HIGH = 1, 2
"""Qualities of CONFSTREAMS."""

_STATUS = {
    1: "client version refused",
    2: "credentials invalid",
    3: "credentials expired",
    4: "limit reached",
    5: "may not start a call",
}


@attrs.frozen
class Credentials:
    """What the backend gave (protocol section 1.6); both empty: none."""

    username: str = ""
    credential: str = attrs.field(default="", repr=False)


NO_CREDENTIALS = Credentials()


class Writer:
    """Messages of one participant in one call."""

    def __init__(self, call: str, user: str) -> None:
        self.call = call
        self.user = user

    def write(self, type: str, *, resp: bool = False, **fields: Any) -> str:
        envelope = {
            "version": "3.0",
            "type": type,
            "sessid": self.call,
            "src_userid": self.user,
            "src_clientid": "_",
            "dest_userid": "SFT",
            "dest_clientid": "SFT",
            "resp": resp,
        }
        return json.dumps({**envelope, **fields}, separators=(",", ":"))

    def join(self, video_slots: int, credentials: Credentials) -> str:
        fields: dict[str, Any] = {
            "update": False,
            "tool": "sft-load",
            "toolver": "10.0.0",  # from 10 on the offer has simulcast (protocol section 3.4.3)
            "env": 0,
            "status": 0,
            "selective_audio": True,
            "selective_video": True,
            "vstreams": video_slots,
        }
        if credentials.username:
            fields |= {"username": credentials.username, "credential": credentials.credential}
        return self.write("CONFCONN", **fields)

    def trust(self, array: str) -> str:
        """CONFPART that approves; ``array`` is the JSON of the participants."""
        text = self.write("CONFPART", resp=True, should_start=False, timestamp="0", seqno="0")
        return f'{text[:-1]},"participants":{array}}}'

    def streams(self, users: Sequence[tuple[str, int]]) -> str:
        """CONFSTREAMS: whom to see, and in which quality."""
        wanted = [{"userid": user, "quality": quality} for user, quality in users]
        return self.write("CONFSTREAMS", mode="list", streams=wanted)


def check_status(what: str, status: int, body: bytes) -> None:
    """JoinError: the reply to ``what`` is a refusal, or there was none (see ``http.OnReply``)."""
    text = body[:60].decode(errors="replace")
    if status == 0:
        raise JoinError(text)
    if status != 200:
        raise JoinError(f"{what}: HTTP {status} {text}".strip())


def read_setup(status: int, body: bytes) -> tuple[str, str]:
    """(offer, URL to go on with; may be empty) of the reply to CONFCONN. JoinError: the server refused."""
    check_status("CONFCONN", status, body)
    reply = read_untrusted(body)
    if reply.get("type") == "CONFCONN":
        code = reply.get("status", 0)
        raise JoinError(f"CONFCONN: status {code} {_STATUS.get(code, '')}".strip())
    if reply.get("type") != "SETUP" or not isinstance(reply.get("sdp"), str):
        raise JoinError("CONFCONN: the reply is no SETUP")
    return reply["sdp"], str(reply.get("url", ""))


def read_untrusted(text: bytes | str) -> dict[str, Any]:
    """A message; empty if it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
