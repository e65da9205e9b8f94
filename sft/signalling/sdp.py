"""A small reader of session descriptions (RFC 8866): sections and their attributes, nothing judged.

Forgiving about what it does not need: lines that are not ``a=`` or ``m=`` are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from sft.errors import BadPacket
from sft.model import Drop

MAX_SDP_CHARS = 32767


def malformed(detail: str) -> BadPacket:
    return BadPacket(Drop.SDP_MALFORMED, detail)


def decimal(text: str, most: int) -> int | None:
    """The number that ``text`` writes in decimal digits and nothing else, if it is at most ``most``."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        return None
    number = int(text)
    return number if number <= most else None


@attrs.frozen
class Section:
    """One m-line with its attributes, or the session level (``kind`` empty)."""

    kind: str = ""
    port: int = 0
    protocol: str = ""
    formats: tuple[str, ...] = ()
    attributes: list[tuple[str, str]] = attrs.field(factory=list)

    def values(self, name: str) -> Iterator[str]:
        """The values of all attributes of this name; a flag's value is empty."""
        return (value for key, value in self.attributes if key == name)

    def value(self, name: str) -> str | None:
        """The first one's value."""
        return next(self.values(name), None)


@attrs.frozen
class Description:
    session: Section
    media: list[Section]

    def values(self, section: Section, name: str) -> list[str]:
        """The section's own values, or else those of the session level."""
        return list(section.values(name)) or list(self.session.values(name))

    def value(self, section: Section, name: str) -> str | None:
        return next(iter(self.values(section, name)), None)


def read_description_untrusted(sdp: str) -> Description:
    """Split a description at its m-lines. Lines end in LF or CRLF."""
    if len(sdp) > MAX_SDP_CHARS:
        raise malformed(f"{len(sdp)} characters")
    session = Section()
    media: list[Section] = []
    section = session
    for line in sdp.split("\n"):
        line = line.strip()
        if line.startswith("m="):
            section = _read_media_line(line[2:])
            media.append(section)
        elif line.startswith("a="):
            name, _, value = line[2:].partition(":")
            section.attributes.append((name, value.strip()))
    return Description(session, media)


def _read_media_line(text: str) -> Section:
    """``<kind> <port>[/<number of ports>] <protocol> <format> ...``"""
    words = text.split()
    if len(words) < 3:
        raise malformed("an m-line lacks fields")
    kind, port, protocol, *formats = words
    number = decimal(port.partition("/")[0], 65535)
    if number is None:
        raise malformed("an m-line's port is no port")
    return Section(kind, number, protocol, tuple(formats))
