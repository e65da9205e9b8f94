"""The table ``[plugins.tracing]``, read by the core."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sft.config import parse_config
from sft.errors import ConfigError
from sft.plugin.manager import PluginManager
from sft_tracing import TracingPlugin
from sft_tracing.config import TracingConfig

ENDPOINT = 'endpoint = "http://collector:4318/v1/traces"\n'


def configure(folder: Path, toml: str) -> TracingPlugin:
    plugin = TracingPlugin()
    config = parse_config("[plugins]\nallow = []\n[plugins.tracing]\n" + toml, folder / "sft.toml")
    PluginManager.load(config, {"tracing": plugin}).configure(config)
    return plugin


def test_nothing_is_sent_unless_it_is_said_where_to() -> None:
    assert TracingConfig().endpoint == ""
    assert TracingConfig().sample_ratio == 1.0


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ('endpoint = "collector:4318"', "plugins.tracing.endpoint: must be a URL such as"),
        ('endpoint = "ftp://collector/"', "plugins.tracing.endpoint: must be a URL such as"),
        ('endpoint = "http://[::1/"', "plugins.tracing.endpoint: must be a URL such as"),
        ("sample_ratio = 1.5", "plugins.tracing.sample_ratio: must be <= 1.0"),
        ("sample_ratio = -0.5", "plugins.tracing.sample_ratio: must be >= 0.0"),
        (ENDPOINT + 'headers_file = "none"', "plugins.tracing.headers_file: "),
    ],
)
def test_mistakes_are_named_with_their_path(toml: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(tmp_path, toml)
    assert complaint in str(caught.value)


def test_headers_are_read_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer a:b \n\n x-scope:  sft\n \n")
    plugin = configure(tmp_path, ENDPOINT + 'headers_file = "headers"')
    assert plugin._headers == {"authorization": "Bearer a:b", "x-scope": "sft"}


def test_without_a_collector_headers_are_not_read(tmp_path: Path) -> None:
    assert configure(tmp_path, 'headers_file = "none"')._headers == {}


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://me:secret@collector/",
        "https://secret@collector/",
        "https://collector/?key=secret",
        "ftp://:secret@collector/",
    ],
)
def test_an_endpoint_that_holds_a_secret_is_refused_without_showing_it(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(tmp_path, f'endpoint = "{endpoint}"')
    assert "plugins.tracing.endpoint: must be a URL" in str(caught.value)
    assert "secret@" not in str(caught.value)
    assert "=secret" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "only-a-secret\n",
        "name:\n",
        ": value\n",
        "two words: secret\n",
        "n\u00e4me: secret\n",
        "(x): secret\n",
    ],
)
def test_a_line_that_is_no_header_is_named_and_not_shown(text: str, tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Fine: yes\n" + text)
    with pytest.raises(ConfigError, match="line 2 is no header") as caught:
        configure(tmp_path, ENDPOINT + 'headers_file = "headers"')
    assert "secret" not in str(caught.value)


def test_the_libraries_are_loaded_where_they_are_needed_only() -> None:
    code = "import sys, sft_tracing; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
