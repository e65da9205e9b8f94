"""docs/wire.md and docs/operations.md say what is there: the example can be used, keys and paths exist, the
original's flags are all there are."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from sft.config import Config, parse_config, read_plugin_tables
from sft_metrics.config import MetricsConfig
from sft_transport_tcp.config import TcpConfig
from sft_transport_udp.config import UdpConfig

DOCS = Path(__file__).parents[1] / "docs"
WIRE, OPERATIONS = ((DOCS / name).read_text(encoding="utf-8") for name in ("wire.md", "operations.md"))
FLAGS = "aAbfIklMOpqrsTtuvwcx"
PLUGINS = {
    "plugins.transport_udp": UdpConfig,
    "plugins.transport_tcp": TcpConfig,
    "plugins.metrics": MetricsConfig,
}
TABLES = PLUGINS | {field.name: type(getattr(Config(), field.name)) for field in attrs.fields(Config)}


def keys() -> list[str]:
    """What looks like a key of a table of ours."""
    found = set(re.findall(r"`(\w+(?:\.\w+)+)[ `]", WIRE + OPERATIONS))
    roots = {table.split(".")[0] for table in TABLES}
    return sorted(name for name in found if name.split(".")[0] in roots)


def paths() -> list[str]:
    return sorted(set(re.findall(r"\b(?:docs|tests|examples)/[\w/.]*\w", WIRE + OPERATIONS)))


def test_the_example_is_a_configuration() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", WIRE, re.DOTALL)
    config = read_plugin_tables(parse_config(example), {"transport_udp": UdpConfig})
    assert config.server.announced_url == "https://sft.example.com/sfts/sftd-1"
    assert config.table(UdpConfig).addresses[0].advertised == "203.0.113.5"  # type: ignore[union-attr]  # it is a list


def test_every_flag_of_the_original_is_there_once() -> None:
    rows = re.findall(r"^\| (`-.*?) \|", OPERATIONS, re.MULTILINE)
    assert sorted(re.findall(r"`-(\w)`?", " ".join(rows))) == sorted(FLAGS)


@pytest.mark.parametrize("name", keys())
def test_every_key_exists(name: str) -> None:
    table, _, key = name.rpartition(".")
    assert key in {field.name for field in attrs.fields(TABLES[table])}


@pytest.mark.parametrize("path", paths())
def test_every_path_exists(path: str) -> None:
    assert (DOCS.parent / path).exists()
