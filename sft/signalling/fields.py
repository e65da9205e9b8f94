"""Strict reading of the JSON objects that messages are made of (protocol section 2.1).

Nothing here knows a message. A value of the wrong JSON type is an error that names its key, never
a guess: ``"true"`` is not a boolean, ``1.0`` and ``true`` are not integers, ``null`` is nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn, TypeVar

from sft.errors import BadPacket
from sft.model import Drop

MAX_ID_BYTES = 127
MAX_URL_BYTES = 255
MAX_U32 = 2**32 - 1
MAX_I64 = 2**63 - 1
MAX_PROPS_BYTES = 4096
"""All names and values of one props object. Props are stored, relayed and replayed to everybody."""

_MAX_DIGITS = 19

T = TypeVar("T", str, bool, int, list[Any], dict[str, Any])


def malformed(detail: str) -> BadPacket:
    return BadPacket(Drop.MESSAGE_MALFORMED, detail)


def cut(text: str, limit: int) -> str:
    """The longest beginning of ``text`` that takes at most ``limit`` bytes of UTF-8."""
    if len(text) * 4 <= limit:
        return text
    return text.encode()[:limit].decode(errors="ignore")


def parse_object_untrusted(data: bytes | str, max_bytes: int) -> Fields:
    """The one JSON object that ``data`` is. Of keys that stand twice the last counts."""
    if len(data) > max_bytes:
        raise BadPacket(Drop.TOO_LARGE, f"message of {len(data)} bytes")
    try:
        # UnicodeDecodeError and JSONDecodeError are ValueErrors, as is an integer of 5000 digits;
        # nested brackets exhaust the parser's recursion.
        value = json.loads(data.decode() if isinstance(data, bytes) else data, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise malformed(f"not JSON: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise malformed("not a JSON object")
    return Fields(value)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


class Fields:
    """One JSON object. Every reader takes a key and an optional default; no default: mandatory."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, object]) -> None:
        self._values = values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def is_array(self, key: str) -> bool:
        return isinstance(self._values.get(key), list)

    def text(self, key: str, default: str | None = None, limit: int | None = None) -> str:
        """A string, cut to ``limit`` bytes."""
        value = _encodable(key, self._typed(key, str, default))
        return value if limit is None else cut(value, limit)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """A JSON boolean."""
        return self._typed(key, bool, default)

    def number(self, key: str, default: int | None = None) -> int:
        """A JSON integer that fits 64 bits with sign."""
        value = self._typed(key, int, default)
        if abs(value) > MAX_I64:
            raise malformed(f"{key} is out of range")
        return value

    def decimal(self, key: str, default: str | None = None, *, most: int) -> int:
        """A string of decimal digits, 0 to ``most``."""
        value = self._typed(key, str, default)
        if not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS) or int(value) > most:
            raise malformed(f"{key} is not a decimal string up to {most}")
        return int(value)

    def objects(self, key: str, *, optional: bool = False) -> Iterator[Fields]:
        """The objects of an array; an element that is none reads as an empty object."""
        for value in self._typed(key, list, [] if optional else None):
            yield Fields(value if isinstance(value, dict) else {})

    def texts(self, key: str, limit: int, *, optional: bool = False) -> tuple[str, ...]:
        """An array of strings, each cut to ``limit`` bytes."""
        values = self._typed(key, list, [] if optional else None)
        if not all(isinstance(value, str) for value in values):
            raise malformed(f"{key} holds something other than strings")
        return tuple(cut(_encodable(key, value), limit) for value in values)

    def props(self, key: str, *, optional: bool = False) -> dict[str, str]:
        """An object of strings, whole and in its order."""
        values = self._typed(key, dict, {} if optional else None)
        size = 0
        for name, value in values.items():
            if not isinstance(value, str):
                raise malformed(f"{key} holds something other than strings")
            size += len(_encodable(key, name).encode()) + len(_encodable(key, value).encode())
        if size > MAX_PROPS_BYTES:
            raise malformed(f"{key} takes {size} bytes")
        return values

    def _typed(self, key: str, kind: type[T], default: T | None) -> T:
        value = self._values.get(key, default)
        if value is None:
            raise malformed(f"{key} is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise malformed(f"{key} is not of type {kind.__name__}")
        return value


def _encodable(key: str, value: str) -> str:
    """JSON can spell half of a surrogate pair; as UTF-8 it could never leave again."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise malformed(f"{key} holds a lone surrogate") from None
    return value
