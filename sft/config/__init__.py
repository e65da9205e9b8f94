"""The configuration: one TOML file read into attrs values.

Unknown keys are refused; an error names the file, the key's path and what is allowed there. An empty
file is a valid one.
"""

from __future__ import annotations

from sft.config.reading import parse_config, read_config, read_plugin_tables
from sft.config.tables import (
    Config,
    CredentialsConfig,
    LimitsConfig,
    LogConfig,
    MediaConfig,
    PluginsConfig,
    ServerConfig,
    TelemetryConfig,
    TimersConfig,
    split_listener,
)

__all__ = [
    "Config",
    "CredentialsConfig",
    "LimitsConfig",
    "LogConfig",
    "MediaConfig",
    "PluginsConfig",
    "ServerConfig",
    "TelemetryConfig",
    "TimersConfig",
    "parse_config",
    "read_config",
    "read_plugin_tables",
    "split_listener",
]
