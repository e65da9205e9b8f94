"""Messages as clients write them (protocol section 2), made without any code of the server."""

from __future__ import annotations

import secrets
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


def new_id() -> str:
    """A call id or a user id: 32 hex digits."""
    return secrets.token_hex(16)


def message(type: str, call: str, user: str, *, resp: bool = False, **fields: Any) -> Json:
    """Any message from ``user`` to the server."""
    return {
        "version": "3.0",
        "type": type,
        "sessid": call,
        "src_userid": user,
        "src_clientid": "_",
        "dest_userid": "SFT",
        "dest_clientid": "_",
        "resp": resp,
        **fields,
    }


def confconn(call: str, user: str, *, toolver: str = "9.0.0", vstreams: int = 9, **fields: Any) -> Json:
    """The wish to join. Versions from 10 on are offered simulcast."""
    return message(
        "CONFCONN",
        call,
        user,
        **{
            "update": False,
            "tool": f"test {toolver}",
            "toolver": toolver,
            "status": 0,
            "selective_audio": True,
            "selective_video": True,
            "vstreams": vstreams,
            **fields,
        },
    )


def props(**changes: str) -> Json:
    """What PROPSYNC carries: strings all."""
    return {"videosend": "false", "screensend": "false", "audiocbr": "false", "muted": "false", **changes}
