"""The addresses of STUN and TURN servers (RFC 7064, RFC 7065)."""

from __future__ import annotations

import re
from typing import Final, Literal

import attrs

_URL = re.compile(
    r"(?P<scheme>stuns?|turns?):(?P<host>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>\d{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?",
    re.ASCII,
)
_PORT: Final = 3478
_TLS_PORT: Final = 5349


@attrs.frozen
class IceUrl:
    """One server. ``link``: how to talk to it."""

    kind: Literal["stun", "turn"]
    host: str
    port: int
    link: Literal["udp", "tcp", "tls"]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        scheme = self.kind + ("s" if self.link == "tls" else "")
        return f"{scheme}:{host}:{self.port}" + ("?transport=tcp" if self.link == "tcp" else "")

    @classmethod
    def parse(cls, text: str) -> IceUrl:
        """``ValueError`` if it is none, or one we do not talk to: DTLS (``turns`` over UDP), STUN over
        TCP or TLS."""
        match = _URL.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a URL such as 'turn:turn.example.net:3478?transport=udp'")
        scheme, transport = match["scheme"], match["transport"]
        secure = scheme in ("stuns", "turns")
        if scheme == "stuns" or (scheme == "stun" and transport == "tcp") or (secure and transport == "udp"):
            raise ValueError(f"{text!r}: only turn, turns over TCP, and stun over UDP can be used")
        port = int(match["port"] or (_TLS_PORT if secure else _PORT))
        if not 0 < port < 65536:
            raise ValueError(f"{text!r}: no such port")
        link: Literal["udp", "tcp", "tls"] = "tls" if secure else "tcp" if transport == "tcp" else "udp"
        return cls("stun" if scheme == "stun" else "turn", match["host"].strip("[]"), port, link)
