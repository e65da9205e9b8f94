"""The configuration: one TOML file read into attrs values.

Unknown keys are refused; an error names the file, the key's path and what is allowed there. An empty
file is a valid one.
"""

from __future__ import annotations

from sft.config.ice_urls import IceUrl
from sft.config.reading import parse_config, read_config, read_plugin_tables
from sft.config.tables import (
    Config,
    CredentialsConfig,
    IceConfig,
    LimitsConfig,
    LogConfig,
    MediaConfig,
    PluginsConfig,
    RelayConfig,
    ServerConfig,
    TelemetryConfig,
    TimersConfig,
    TurnConfig,
    split_listener,
)

__all__ = [
    "Config",
    "CredentialsConfig",
    "IceConfig",
    "IceUrl",
    "LimitsConfig",
    "LogConfig",
    "MediaConfig",
    "PluginsConfig",
    "RelayConfig",
    "ServerConfig",
    "TelemetryConfig",
    "TimersConfig",
    "TurnConfig",
    "parse_config",
    "read_config",
    "read_plugin_tables",
    "split_listener",
]
