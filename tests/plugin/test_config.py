"""The configuration file: defaults, and how mistakes are told."""

from __future__ import annotations

import inspect
import pickle
import re
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest

from sft.config import Config, ServerConfig, parse_config, read_config, read_plugin_tables, split_listener
from sft.errors import ConfigError

TABLES = [type(table) for table in attrs.asdict(Config(), recurse=False).values() if attrs.has(type(table))]


def complaint(toml: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(toml, Path("sft.toml"))
    return str(caught.value)


def test_an_empty_file_is_the_defaults() -> None:
    assert parse_config("") == Config() == read_config(None)
    assert Config().server.announced_url == "http://localhost:8585"


@pytest.mark.parametrize("cls", TABLES, ids=lambda cls: cls.__name__)
def test_every_key_has_a_default_and_a_meaning(cls: type[Any]) -> None:
    cls()
    meanings = re.findall(r"^(\w+): \S", inspect.getdoc(cls) or "", re.MULTILINE)
    assert meanings == [field.name for field in attrs.fields(cls)]


def test_values_are_read(tmp_path: Path) -> None:
    file = tmp_path / "sft.toml"
    file.write_text("""
        [server]
        listen = "[::]:443"
        url = "https://sft.example.com/"
        cors_origins = ["https://app.example.com", "*"]
        trusted_proxies = ["10.0.0.0/8", "::1"]
        web_client = false
        [limits]
        body_seconds = 3
        [plugins]
        modules = ["a.b"]
        [plugins.apple]
        colour = "green"
    """)
    config = read_config(file)
    assert config.server.cors_origins == ("https://app.example.com", "*")
    assert config.server.announced_url == "https://sft.example.com"
    assert not config.server.web_client
    assert config.limits.body_seconds == 3.0
    assert config.plugins.allow is None
    assert config.plugins.modules == ("a.b",)
    assert config.raw_tables == {"apple": {"colour": "green"}}
    assert config.file == file


def test_the_announced_url_knows_about_tls() -> None:
    server = ServerConfig(listen="192.0.2.1:443", certificate="cert.pem", key="key.pem")
    assert server.announced_url == "https://192.0.2.1:443"


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("[serv]", "sft.toml: serv: unknown key; did you mean 'server'?; allowed: credentials, ice, limits"),
        ("[server]\nprot = 1", "sft.toml: server.prot: unknown key; did you mean 'url'?"),
        ("[media]\nslots = 1", "sft.toml: media.slots: unknown key"),
        ("[media]\nslots = 1", "allowed: adapt_video, audio_slots, max_video_slots"),
        (
            '[limits]\nbody_bytes = "big"',
            "sft.toml: limits.body_bytes: must be an integer, not 'big' (a string)",
        ),
        ("[limits]\nbody_bytes = 1.5", "sft.toml: limits.body_bytes: must be an integer, not 1.5 (a number)"),
        ("[limits]\nbody_bytes = 1", "sft.toml: limits.body_bytes: must be >= 1024: 1"),
        ("[limits]\nbody_seconds = true", "must be a number, not True (true or false)"),
        ("[limits]\nbody_seconds = 1979-05-27", "must be a number, not datetime.date(1979, 5, 27) (date)"),
        (
            "[server]\nweb_client = 1",
            "sft.toml: server.web_client: must be true or false, not 1 (an integer)",
        ),
        ('[server]\ncors_origins = "*"', "sft.toml: server.cors_origins: must be a list, not '*'"),
        ('[server]\ncors_origins = ["*", 3]', "sft.toml: server.cors_origins[1]: must be a string, not 3"),
        ('[server]\nlisten = "8585"', "sft.toml: server.listen: must be an IP address and a port"),
        ('[server]\nlisten = "localhost:8585"', "sft.toml: server.listen: must be an IP address and a port"),
        ('[server]\noperator_hosts = ["sft:49090"]', "server.operator_hosts: must list names"),
        ('[server]\ntrusted_proxies = ["10.0.0.1/8"]', "server.trusted_proxies: must list networks"),
        ('[server]\nkey = "key.pem"', "sft.toml: server: 'certificate' and 'key' must be given together"),
        ('[log]\nlevel = "loud"', "sft.toml: log.level: must be one of 'debug', 'info', 'warning', 'error'"),
        ('[plugins]\nallow = "udp"', "sft.toml: plugins.allow: must be a list, not 'udp'"),
        ("[plugins]\nudp = 1", "sft.toml: plugins.udp: unknown key; allowed: allow, block, modules"),
        ("limits = 3", "sft.toml: limits: must be a table, not 3 (an integer)"),
        ("plugins = 3", "sft.toml: plugins: must be a table, not 3 (an integer)"),
        ('file = "x"', "sft.toml: file: unknown key"),
        ("raw_tables = {}", "sft.toml: raw_tables: unknown key"),
        ("[server", "sft.toml: is not TOML: "),
    ],
)
def test_mistakes_are_named_with_their_path(toml: str, expected: str) -> None:
    text = complaint(toml)
    assert expected.partition("; did you mean 'url'")[0] in text
    assert all(line.startswith("sft.toml: ") for line in text.splitlines())


def test_all_mistakes_are_told_at_once() -> None:
    text = complaint('[limits]\nbody_bytes = "big"\n[server]\nweb_client = 1\nlist = 2\n[medias]')
    assert sorted(line.split(": ")[1] for line in text.splitlines()) == [
        "limits.body_bytes",
        "medias",
        "server.list",
        "server.web_client",
    ]


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: cannot be read"):
        read_config(tmp_path / "nowhere.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"binary\.toml: cannot be read"):
        read_config(binary)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("127.0.0.1:8585", ("127.0.0.1", 8585)), ("[::]:443", ("::", 443)), ("0.0.0.0:0", ("0.0.0.0", 0))],
)
def test_listeners_are_split(text: str, expected: tuple[str, int]) -> None:
    assert split_listener(text) == expected


@pytest.mark.parametrize(
    "text", ["", ":1", "::1:443", "[127.0.0.1]:1", "1.2.3.4", "1.2.3.4:70000", "1.2.3.4:²"]
)
def test_what_is_no_listener_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no port|IPv4 or IPv6|brackets"):
        split_listener(text)


@attrs.frozen
class Part:
    name: str
    weight: float = 1.0


@attrs.frozen
class Machine:
    parts: tuple[Part, ...] = ()
    mode: Literal["auto"] | int = "auto"
    spare: Part | None = None
    size: int | str = 0


@pytest.mark.parametrize(
    ("toml", "machine"),
    [
        ("", Machine()),
        (
            'parts = [{name = "axle"}, {name = "wheel", weight = 2}]',
            Machine((Part("axle"), Part("wheel", 2.0))),
        ),
        ('mode = "auto"\nsize = "big"', Machine(size="big")),
        ("mode = 7\nsize = 8", Machine(mode=7, size=8)),
        ('spare = {name = "wheel"}', Machine(spare=Part("wheel"))),
    ],
)
def test_tables_of_plugins_may_nest_and_choose(toml: str, machine: Machine) -> None:
    config = read_plugin_tables(parse_config(f"[plugins.one]\n{toml}"), {"one": Machine})
    assert config.table(Machine) == machine
    assert pickle.loads(pickle.dumps(config)) == config


@pytest.mark.parametrize(
    ("toml", "expected"),
    [
        ("parts = [{weight = 1}]", "plugins.one.parts[0].name: is missing"),
        ('parts = [{name = "a"}, {name = 1}]', "plugins.one.parts[1].name: must be a string"),
        ('parts = [{name = "a", size = 1}]', "plugins.one.parts[0].size: unknown key; allowed: name, weight"),
        ('mode = "manual"', "plugins.one.mode: must be an integer, not 'manual'"),
        ("spare = 3", "plugins.one.spare: must be a table, not 3"),
        ("size = []", "plugins.one.size: must be a string, not [] (a list)"),
    ],
)
def test_mistakes_in_nested_tables_have_their_whole_path(toml: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_plugin_tables(parse_config(f"[plugins.one]\n{toml}"), {"one": Machine})
    assert expected in str(caught.value)
