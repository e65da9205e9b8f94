"""Who may start or join a call (protocol section 1.6).

The backend hands a client a username that says what it may do and until when, and as credential
its HMAC under a secret the backend shares with us::

    d=<expiry, unix seconds>.v=1.k=<key index>.s=<1: may start a call>.r=<opaque>
"""

from __future__ import annotations

import base64
import hmac
import re
from enum import Enum

import attrs

from sft.signalling.messages import Status

MAX_SECRET_BYTES = 255

# The pattern may stand anywhere in the username. ASCII, or IGNORECASE would let U+017F pass for an s.
_USERNAME = re.compile(r"d=([0-9]{1,15})\.v=1\.k=[0-9]+\.s=([01])\.r=[a-z0-9]*", re.IGNORECASE | re.ASCII)


class Verdict(Enum):
    """The outcome of a check; the value is what CONFCONN tells the client."""

    ACCEPTED = Status.OK
    INVALID = Status.CREDENTIALS_INVALID
    EXPIRED = Status.CREDENTIALS_EXPIRED
    MAY_NOT_START = Status.MAY_NOT_START

    @property
    def status(self) -> Status:
        return self.value


@attrs.frozen
class SharedSecret:
    """The secret shared with the backend. Its repr does not show it."""

    value: bytes = attrs.field(repr=False)

    @classmethod
    def from_text(cls, text: str) -> SharedSecret:
        """From the text of a secret file: its first word, at most 255 bytes. ValueError: there is none."""
        words = text.split(maxsplit=1)
        if not words:
            raise ValueError("the secret is empty")
        return cls(words[0].encode()[:MAX_SECRET_BYTES])

    def sign(self, username: str) -> str:
        """The credential that belongs to a username: base64 of its HMAC-SHA-512, 88 characters."""
        digest = hmac.digest(self.value, username.encode(errors="surrogatepass"), "sha512")
        return base64.b64encode(digest).decode()

    def check(self, username: str, credential: str, *, starting: bool, wall: float) -> Verdict:
        """Judge what a client shows. ``starting``: its call does not exist yet; ``wall``: unix seconds.

        Nothing of a username is believed before its credential is found to be right.
        """
        shown = credential.encode(errors="surrogatepass")
        if not hmac.compare_digest(self.sign(username).encode(), shown):
            return Verdict.INVALID
        match = _USERNAME.search(username)
        if match is None:
            return Verdict.INVALID
        if int(match[1]) < wall:
            return Verdict.EXPIRED
        if starting and match[2] == "0":
            return Verdict.MAY_NOT_START
        return Verdict.ACCEPTED


def make_credentials(
    secret: SharedSecret, *, expires: int, may_start: bool, opaque: str = "a", key_index: int = 0
) -> tuple[str, str]:
    """A username and its credential, as the backend makes them; ``expires`` in unix seconds."""
    username = f"d={expires}.v=1.k={key_index}.s={int(may_start)}.r={opaque}"
    return username, secret.sign(username)
