"""The tables of the configuration file. A class's docstring says what each of its keys means.

docs/configuration.md shows the same; a test compares them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import attrs
from attrs.validators import ge

from sft.errors import LocalError

T = TypeVar("T")


def split_listener(text: str) -> tuple[str, int]:
    """("::", 8585) of "[::]:8585"; ``ValueError`` if it is not an IP address and a port."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("no port")
    bracketed = host.startswith("[") and host.endswith("]")
    address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    if bracketed != (address.version == 6):
        raise ValueError("brackets are for IPv6")
    return str(address), int(port)


def _is_listener(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    try:
        split_listener(value)
    except ValueError as error:
        raise ValueError(
            f"{attribute.name!r} must be an IP address and a port, such as '0.0.0.0:8585' or '[::]:8585'"
        ) from error


def _are_networks(_: object, attribute: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    for network in value:
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            raise ValueError(
                f"{attribute.name!r} must list networks such as '10.0.0.0/8': {error}"
            ) from error


@attrs.frozen
class ServerConfig:
    """Where the instance listens.

    listen: IP address and port of the clients' HTTP listener
    url: how clients reach that listener, as announced to them; empty: made from `listen`
    operator_listen: IP address and port of the operators' HTTP listener; keep it private
    certificate: PEM file with the TLS certificate and its chain; empty: plain HTTP
    key: PEM file with the certificate's key
    cors_origins: web origins that may call, such as `"https://app.example.com"`; `"*"`: any
    trusted_proxies: networks whose `X-Forwarded-For` is believed, such as `"10.0.0.0/8"`
    web_client: whether the web client is served
    """

    listen: str = attrs.field(default="127.0.0.1:8585", validator=_is_listener)
    url: str = ""
    operator_listen: str = attrs.field(default="127.0.0.1:49090", validator=_is_listener)
    certificate: str = ""
    key: str = ""
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = attrs.field(default=(), validator=_are_networks)
    web_client: bool = True

    def __attrs_post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("'certificate' and 'key' must be given together")

    @property
    def announced_url(self) -> str:
        """The URL clients are told, without a slash at its end."""
        scheme = "https" if self.certificate else "http"
        host, port = split_listener(self.listen)
        if ipaddress.ip_address(host).is_loopback:
            host = "localhost"  # as `make run` prints it, so that its page is of our origin
        elif ":" in host:
            host = f"[{host}]"
        return (self.url or f"{scheme}://{host}:{port}").rstrip("/")


@attrs.frozen
class LimitsConfig:
    """What a client may ask for.

    body_bytes: longest body of an HTTP request
    header_seconds: time a client has for the head of a request
    body_seconds: time a client has for the body of a request
    joins_per_address_per_second: joins one IP address may ask for, on average
    joins_burst: joins one IP address may ask for at once
    pending_per_address: participants of one IP address that are not connected yet
    participants_per_call: participants of one call
    participants_per_worker: participants of one worker
    blocked_versions: client versions to refuse, such as `"<6.2.9,6.2.11"`
    """

    body_bytes: int = attrs.field(default=65536, validator=ge(1024))
    header_seconds: float = attrs.field(default=5.0, validator=ge(0.1))
    body_seconds: float = attrs.field(default=5.0, validator=ge(0.1))
    joins_per_address_per_second: float = attrs.field(default=20.0, validator=ge(0.01))
    joins_burst: int = attrs.field(default=60, validator=ge(1))
    pending_per_address: int = attrs.field(default=60, validator=ge(1))
    participants_per_call: int = attrs.field(default=500, validator=ge(1))
    participants_per_worker: int = attrs.field(default=2000, validator=ge(1))
    blocked_versions: str = ""


@attrs.frozen
class TimersConfig:
    """How long the server waits.

    offer_seconds: for the answer to an offer
    connect_seconds: for ICE and DTLS after the answer
    silence_seconds: for any authenticated packet of a connected participant
    ping_seconds: for a PING of a connected participant
    roster_milliseconds: to announce several changes of a roster as one
    """

    offer_seconds: float = attrs.field(default=10.0, validator=ge(1))
    connect_seconds: float = attrs.field(default=10.0, validator=ge(1))
    silence_seconds: float = attrs.field(default=15.0, validator=ge(1))
    ping_seconds: float = attrs.field(default=45.0, validator=ge(1))
    roster_milliseconds: float = attrs.field(default=200.0, validator=ge(0))


@attrs.frozen
class MediaConfig:
    """What a participant is offered.

    audio_slots: voices a participant hears at once
    max_video_slots: videos a participant may ask for
    """

    audio_slots: int = attrs.field(default=5, validator=ge(1))
    max_video_slots: int = attrs.field(default=32, validator=ge(0))


@attrs.frozen
class CredentialsConfig:
    """Who may join.

    secret_file: file whose first word is the secret shared with the backend; empty: everybody may join
    required: whether a participant without credentials is refused; wrong ones always are
    """

    secret_file: str = ""
    required: bool = True


@attrs.frozen
class LogConfig:
    """The log, written to standard error.

    level: the least important lines to write: `"debug"`, `"info"`, `"warning"` or `"error"`
    format: `"console"` for people, `"json"` for machines
    """

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


@attrs.frozen
class TelemetryConfig:
    """What plugins and the live view are told.

    snapshot_seconds: period of the snapshots
    """

    snapshot_seconds: float = attrs.field(default=1.0, validator=ge(0.1))


@attrs.frozen
class PluginsConfig:
    """Which plugins are used. `[plugins.NAME]` is the table of the plugin NAME.

    allow: the only installed plugins to load, and their order; not given: all, by name
    block: plugins not to load, also built-in ones
    modules: further plugins by module path, such as `"my_package.my_plugin"`; asked before all others
    """

    allow: tuple[str, ...] | None = None
    block: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Config:
    """The whole file; every table may be missing. ``Config()`` is an empty file's."""

    server: ServerConfig = attrs.field(factory=ServerConfig)
    limits: LimitsConfig = attrs.field(factory=LimitsConfig)
    timers: TimersConfig = attrs.field(factory=TimersConfig)
    media: MediaConfig = attrs.field(factory=MediaConfig)
    credentials: CredentialsConfig = attrs.field(factory=CredentialsConfig)
    log: LogConfig = attrs.field(factory=LogConfig)
    telemetry: TelemetryConfig = attrs.field(factory=TelemetryConfig)
    plugins: PluginsConfig = attrs.field(factory=PluginsConfig)
    file: Path | None = None
    """The file this was read from."""
    raw_tables: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)
    """``[plugins.NAME]`` as TOML gave them."""
    plugin_tables: Mapping[str, Any] = attrs.field(factory=dict)
    """``[plugins.NAME]`` as instances of the plugins' classes."""

    def table(self, cls: type[T]) -> T:
        """A plugin's own table, by the class it gave to ``sft_config_table``."""
        for table in self.plugin_tables.values():
            if type(table) is cls:
                return table
        raise LocalError(f"no plugin gave {cls.__name__} to sft_config_table")

    def with_tables(self, **tables: object) -> Config:
        """A copy with these plugin tables, by plugin name: for the tests of plugins."""
        return attrs.evolve(self, plugin_tables={**self.plugin_tables, **tables})

    def path(self, text: str) -> Path:
        """A path of the configuration: relative ones start at the folder of the file."""
        return (self.file.parent if self.file else Path()) / text
