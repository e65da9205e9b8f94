"""The TURN servers the web client is given, with credentials that soon expire (``[turn]``)."""

from __future__ import annotations

import json

from sft.config import Config
from sft.webrtc.turn_credentials import turn_credentials


class IceServers:
    """One per instance."""

    def __init__(self, config: Config) -> None:
        table = config.turn
        self._urls = list(table.servers)
        self._lifetime = table.lifetime_seconds
        self._secret = config.secret("turn.secret_file", table.secret_file) if table.servers else ""

    def as_json(self, user: str, wall: float) -> str:
        """``{"iceServers": [RTCIceServer...]}`` for one user at the time ``wall`` (seconds since 1970)."""
        if not self._urls:
            return json.dumps({"iceServers": []})
        username, password = turn_credentials(self._secret, int(wall) + self._lifetime, user)
        servers = [{"urls": self._urls, "username": username, "credential": password}]
        return json.dumps({"iceServers": servers})
