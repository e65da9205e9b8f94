"""What a client's version decides (protocol sections 1.7 and 3.4.3)."""

from __future__ import annotations

import re

import attrs

from sft.errors import ConfigError

_LOCAL_BUILD = 999
_MISSING = -1
_PART = re.compile(r"[0-9]{1,9}", re.ASCII)
_LISTED = re.compile(r"<?[0-9]{1,9}(\.[0-9]{1,9}){1,2}", re.ASCII)


@attrs.frozen(order=True)
class ClientVersion:
    """``major.minor.build`` of CONFCONN's ``toolver``."""

    major: int
    minor: int
    build: int

    @classmethod
    def parse(cls, text: str) -> ClientVersion | None:
        """Read a version as clients write it; None if there is not even a major number.

        Of each part the leading digits count, build ``local`` is 999, a missing part is -1.
        """
        major, minor, build, *_ = (_number(part) for part in [*text.strip().split("."), "", "", ""])
        return None if major == _MISSING else cls(major, minor, build)


@attrs.frozen
class VersionBlockList:
    """Client versions that may not join, e.g. ``<6.2.9,6.2.11``: all below 6.2.9, and 6.2.11 itself."""

    exact: frozenset[ClientVersion] = frozenset()
    below: ClientVersion | None = None

    @classmethod
    def parse(cls, text: str) -> VersionBlockList:
        """Read the operator's list; ConfigError names the item that is none."""
        exact: list[ClientVersion] = []
        below: list[ClientVersion] = []
        for item in filter(None, (item.strip() for item in text.split(","))):
            version = ClientVersion.parse(item.removeprefix("<"))
            if version is None or not _LISTED.fullmatch(item):
                raise ConfigError(
                    f"{item!r} is no client version: write 6.2.11 for one, <6.2.9 for all below"
                )
            (below if item.startswith("<") else exact).append(version)
        return cls(frozenset(exact), max(below, default=None))

    def is_blocked(self, toolver: str) -> bool:
        """A client that names no readable version, and a development build 0.0.x, is never blocked."""
        version = ClientVersion.parse(toolver)
        if version is None or (version.major, version.minor) == (0, 0):
            return False
        return version in self.exact or (self.below is not None and version < self.below)


def offers_simulcast(toolver: str) -> bool:
    """Whether the offer to this client asks for simulcast: major 0, or 10 and newer.

    A client that names no readable version is offered one layer, which every client can send.
    """
    version = ClientVersion.parse(toolver)
    return version is not None and (version.major == 0 or version.major >= 10)


def _number(part: str) -> int:
    if part == "local":
        return _LOCAL_BUILD
    match = _PART.match(part)
    return int(match[0]) if match else _MISSING
