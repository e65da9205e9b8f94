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
        ('headers_file = "none"', "plugins.tracing.headers_file: "),
    ],
)
def test_mistakes_are_named_with_their_path(toml: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        configure(tmp_path, toml)
    assert complaint in str(caught.value)


def test_headers_are_read_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer a:b \n x-scope:  sft\n")
    plugin = configure(tmp_path, 'headers_file = "headers"')
    assert plugin._headers == {"authorization": "Bearer a:b", "x-scope": "sft"}


@pytest.mark.parametrize("text", ["only-a-secret\n", "name:\n", ": value\n"])
def test_a_line_that_is_no_header_is_named_and_not_shown(text: str, tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Fine: yes\n" + text)
    with pytest.raises(ConfigError, match="line 2 is no header") as caught:
        configure(tmp_path, 'headers_file = "headers"')
    assert "secret" not in str(caught.value)


def test_the_libraries_are_loaded_where_they_are_needed_only() -> None:
    code = "import sys, sft_tracing; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
