"""Credentials that expire, for TURN servers that share a secret with us (coturn's ``use-auth-secret``)."""

from __future__ import annotations

import hmac
from base64 import b64encode


def turn_credentials(secret: str, expires: int, user: str = "") -> tuple[str, str]:
    """(user name, password). ``expires``: seconds since 1970; ``user`` shows in the server's log only."""
    username = f"{expires}:{user}" if user else str(expires)
    return username, b64encode(hmac.digest(secret.encode(), username.encode(), "sha1")).decode()
