"""docs/wire.md says what is there: its example can be used, its keys exist, its flags are all there are."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from sft.config import Config, parse_config, read_plugin_tables
from sft_transport_udp.config import UdpConfig

PAGE = (Path(__file__).parents[1] / "docs/wire.md").read_text(encoding="utf-8")
FLAGS = "aAbfIklMOpqrsTtuvwcx"


def test_the_example_is_a_configuration() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    config = read_plugin_tables(parse_config(example), {"transport_udp": UdpConfig})
    assert config.server.announced_url == "https://sft.example.com/sfts/sftd-1"
    assert config.table(UdpConfig).addresses[0].advertised == "203.0.113.5"  # type: ignore[union-attr]  # it is a list


def test_every_flag_of_the_original_is_there_once() -> None:
    rows = re.findall(r"^\| (`-.*?) \|", PAGE, re.MULTILINE)
    assert sorted(re.findall(r"`-(\w)`?", " ".join(rows))) == sorted(FLAGS)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w+(?:\.\w+)+)[ `]", PAGE))))
def test_every_key_exists(name: str) -> None:
    config = Config(plugin_tables={"transport_udp": UdpConfig()})
    table, _, key = name.rpartition(".")
    tables = {"plugins.transport_udp": UdpConfig} | {
        field.name: type(getattr(config, field.name)) for field in attrs.fields(Config)
    }
    assert key in {field.name for field in attrs.fields(tables[table])}


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b(?:docs|tests)/[\w/.]*\w", PAGE))))
def test_every_path_exists(path: str) -> None:
    assert (Path(__file__).parents[1] / path).exists()
