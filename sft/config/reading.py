"""From TOML to tables. All that is wrong is reported at once, each with its key path and what is allowed."""

from __future__ import annotations

import difflib
import re
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import attrs
import cattrs
from cattrs.errors import ForbiddenExtraKeysError

from sft.config.tables import Config
from sft.errors import ConfigError

T = TypeVar("T")

_NAMES: dict[type, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    dict: "a table",
    list: "a list",
    tuple: "a list",
}
"""What a type is called in messages; TOML's dates are named by their class."""

_INTERNAL = ("file", "text", "raw_tables", "plugin_tables")


def read_config(file: Path | None) -> Config:
    """The configuration in ``file``; the defaults for None. ``ConfigError`` if it cannot be used."""
    if file is None:
        return Config()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    return parse_config(text, file)


def parse_config(text: str, file: Path | None = None) -> Config:
    """The configuration in ``text``; ``file`` names it in messages. Plugins' tables stay raw."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file or 'configuration'}: is not TOML: {error}") from error
    tables: dict[str, Any] = {}
    plugins = document.get("plugins")
    if isinstance(plugins, dict):
        tables = {name: value for name, value in plugins.items() if isinstance(value, dict)}
        document["plugins"] = {name: value for name, value in plugins.items() if name not in tables}
    known = {name: value for name, value in document.items() if name in _keys(Config)}
    problems = [f"{name}: {_unknown(name, _keys(Config))}" for name in document if name not in known]
    config = _structure(known, Config, "", problems)
    if config is None or problems:
        raise _error(file, problems)
    return attrs.evolve(config, file=file, text=text, raw_tables=tables)


def read_plugin_tables(config: Config, classes: Mapping[str, type[Any] | None]) -> Config:
    """``config`` with the tables of its plugins read.

    ``classes``: for every plugin that is loaded, by name: the class of its table, None if it has none.
    """
    problems = []
    for name in config.raw_tables:
        if name not in classes:
            problems.append(f"plugins.{name}: no such plugin is loaded{_hint(name, classes)}")
        elif classes[name] is None:
            problems.append(f"plugins.{name}: this plugin has no table")
    tables = {
        name: _structure(config.raw_tables.get(name, {}), cls, f"plugins.{name}", problems)
        for name, cls in classes.items()
        if cls is not None
    }
    if problems:
        raise _error(config.file, problems)
    return attrs.evolve(config, plugin_tables=tables)


def _structure(value: object, cls: type[T], path: str, problems: list[str]) -> T | None:
    """``value`` as ``cls``; None and a longer list of problems if it does not fit."""
    try:
        return _CONVERTER.structure(value, cls)
    except Exception as error:
        problems.extend(_problems(error, path))
        return None


def _error(file: Path | None, problems: list[str]) -> ConfigError:
    return ConfigError("\n".join(f"{file or 'configuration'}: {problem}" for problem in problems))


def _problems(error: BaseException, path: str) -> Iterator[str]:
    """The leaves of what cattrs raised, each with the path of its key."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _problems(inner, path + _step(inner) if path else _step(inner).lstrip("."))
    elif isinstance(error, ForbiddenExtraKeysError):
        for key in sorted(error.extra_fields):
            yield f"{path}.{key}: {_unknown(key, _keys(error.cl))}"
    elif isinstance(error, KeyError):  # cattrs found no value and the key has no default
        yield f"{path}: is missing"
    elif validator := re.fullmatch(r"'(\w+)' (must .*)", str(error), re.DOTALL):  # attrs' words
        yield f"{path}.{validator[1]}: {validator[2]}"
    else:
        yield f"{path}: {error}" if path else str(error)


def _step(error: BaseException) -> str:
    """How the path goes on: cattrs notes the attribute or the index an error belongs to."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, cattrs.AttributeValidationNote):
            return f".{note.name}"
        if isinstance(note, cattrs.IterableValidationNote):
            return f"[{note.index}]"
    return ""


def _keys(cls: type[Any]) -> list[str]:
    return [field.name for field in attrs.fields(cls) if field.name not in _INTERNAL]


def _unknown(key: str, allowed: list[str]) -> str:
    return f"unknown key{_hint(key, allowed)}; allowed: {', '.join(sorted(allowed)) or 'none'}"


def _hint(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _strict(expected: type[T]) -> Any:
    """No "5" for 5, no 1 for true: what TOML says is what is meant."""

    def hook(value: Any, _: type[T]) -> T:
        if type(value) is expected:
            return value
        if expected is float and type(value) is int:
            return float(value)  # type: ignore[return-value]  # T is float here
        raise ValueError(f"must be {_NAMES[expected]}, not {_name(value)}")

    return hook


def _name(value: object) -> str:
    return f"{value!r} ({_NAMES.get(type(value), type(value).__name__)})"


def _literal(value: object, cls: Any) -> object:
    choices = get_args(cls)
    if value in choices and type(value) in {type(choice) for choice in choices}:
        return value
    raise ValueError(f"must be one of {', '.join(map(repr, choices))}, not {value!r}")


def _is_literal(cls: Any) -> bool:
    return get_origin(cls) is Literal


def _is_union(cls: Any) -> bool:
    return get_origin(cls) in (Union, types.UnionType)


def _union(value: object, cls: Any) -> object:
    """The first literal or the first other member that fits; None only as a default."""
    members = [member for member in get_args(cls) if member is not type(None)]
    for member in members:
        if _is_literal(member) and value in get_args(member):
            return value
    others = [member for member in members if not _is_literal(member)]
    for member in others[:-1]:
        try:
            return _CONVERTER.structure(value, member)
        except Exception:  # the next member may fit
            continue
    return _CONVERTER.structure(value, (others or members)[-1])


def _is_sequence(cls: Any) -> bool:
    return get_origin(cls) is tuple and get_args(cls)[1:] == (...,)


def _sequence(value: object, cls: Any) -> tuple[object, ...]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list, not {_name(value)}")
    members: Any = list[get_args(cls)[0]]  # type: ignore[misc]  # a type made at run time
    return tuple(_CONVERTER.structure(value, members))


def _is_table(cls: Any) -> bool:
    return isinstance(cls, type) and attrs.has(cls)


def _table(cls: Any) -> Any:
    structure = cattrs.gen.make_dict_structure_fn(cls, _CONVERTER, _cattrs_forbid_extra_keys=True)

    def hook(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"must be a table, not {_name(value)}")
        return structure(value, cls)

    return hook


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook_factory(_is_table, _table)
    for kind in (bool, int, float, str):
        converter.register_structure_hook(kind, _strict(kind))
    converter.register_structure_hook_func(_is_literal, _literal)
    converter.register_structure_hook_func(_is_union, _union)
    converter.register_structure_hook_func(_is_sequence, _sequence)
    return converter


_CONVERTER = _make_converter()
