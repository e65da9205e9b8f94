"""The tables of the configuration file. A class's docstring says what each of its keys means.

docs/configuration.md shows the same; a test compares them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import attrs
from attrs.validators import ge, le

from sft.config.ice_urls import IceUrl
from sft.errors import ConfigError, LocalError

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


def _are_host_names(_: object, attribute: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    for name in value:
        if name != "*" and not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name, re.ASCII):
            raise ValueError(f"{attribute.name!r} must list names such as 'sft.example.net', without a port")


def _are_ice_urls(_: object, attribute: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    for url in value:
        try:
            IceUrl.parse(url)
        except ValueError as error:
            raise ValueError(f"{attribute.name!r} must list STUN and TURN servers: {error}") from error


@attrs.frozen
class ServerConfig:
    """Where the instance listens.

    listen: IP address and port of the clients' HTTP listener; `"[::]:443"` takes IPv4 as well
    url: how clients reach that listener, as announced to them; empty: made from `listen`
    operator_listen: IP address and port of the operators' HTTP listener; keep it private
    operator_hosts: names under which it is asked, besides `localhost` and any IP address; `"*"`: any
    certificate: PEM file with the TLS certificate and its chain; empty: plain HTTP
    key: PEM file with the certificate's key
    cors_origins: web origins that may call, such as `"https://app.example.com"`; `"*"`: any
    trusted_proxies: networks whose `X-Forwarded-For` is believed, such as `"10.0.0.0/8"`
    web_client: whether the web client is served
    workers: how many processes carry calls, each call one of them; 1: it is the instance's own process
    """

    listen: str = attrs.field(default="127.0.0.1:8585", validator=_is_listener)
    url: str = ""
    operator_listen: str = attrs.field(default="127.0.0.1:49090", validator=_is_listener)
    operator_hosts: tuple[str, ...] = attrs.field(default=(), validator=_are_host_names)
    certificate: str = ""
    key: str = ""
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = attrs.field(default=(), validator=_are_networks)
    web_client: bool = True
    workers: int = attrs.field(default=1, validator=[ge(1), le(256)])

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
    joins_per_address_per_second: joins one IP address (of IPv6: one /64) may ask for, on average
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
    adapt_video: whether a participant whose downlink does not carry all the video it wants gets smaller
        pictures and fewer
    """

    audio_slots: int = attrs.field(default=5, validator=ge(1))
    max_video_slots: int = attrs.field(default=32, validator=ge(0))
    adapt_video: bool = True


@attrs.frozen
class IceConfig:
    """How the server and its clients find a network path to each other.

    mode: `"lite"`: the server answers checks, which is enough when clients can reach its addresses; `"full"`:
        it sends checks too, which `[relay]` needs
    candidates: `"all"`: offer the addresses of the transports and of `[relay]`; `"relay"`: only relayed ones
    """

    mode: Literal["lite", "full"] = "lite"
    candidates: Literal["all", "relay"] = "all"


@attrs.frozen
class RelayConfig:
    """STUN and TURN servers through which the server itself can be reached. Needs `ice.mode = "full"`.

    servers: such as `"turn:turn.example.net:3478?transport=udp"` (or `tcp`), `"turns:turn.example.net:5349"`
        and `"stun:stun.example.net"`
    username: for TURN; with `secret_file`: a name to put into the user names that are made
    password: for TURN
    secret_file: file whose first word is the secret shared with the TURN servers (coturn's
        `use-auth-secret`), from which passwords are made
    ca_file: PEM file with the certificates to trust in `turns` servers; empty: the system's
    from_clients: whether servers that clients name when they join are used too: `"no"`; `"public"`: those at
        public addresses; `"any"`: also those in networks that only this machine may reach
    wait_seconds: longest time a join waits for these servers
    """

    servers: tuple[str, ...] = attrs.field(default=(), validator=_are_ice_urls)
    username: str = ""
    password: str = attrs.field(default="", repr=False)
    secret_file: str = ""
    ca_file: str = ""
    from_clients: Literal["no", "public", "any"] = "no"
    wait_seconds: float = attrs.field(default=2.0, validator=ge(0.1))

    @property
    def is_used(self) -> bool:
        return bool(self.servers) or self.from_clients != "no"


@attrs.frozen
class TurnConfig:
    """TURN servers for the web client, each time with credentials that soon expire.

    servers: such as `"turn:turn.example.net:3478"`; the web client of this server asks for them at `/ice`
    secret_file: file whose first word is the secret shared with the TURN servers (coturn's `use-auth-secret`)
    lifetime_seconds: how long the credentials are good for; calls that have begun go on
    """

    servers: tuple[str, ...] = attrs.field(default=(), validator=_are_ice_urls)
    secret_file: str = ""
    lifetime_seconds: int = attrs.field(default=43200, validator=ge(60))

    def __attrs_post_init__(self) -> None:
        if self.servers and not self.secret_file:
            raise ValueError("'secret_file' must be given with 'servers'")


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
    ice: IceConfig = attrs.field(factory=IceConfig)
    relay: RelayConfig = attrs.field(factory=RelayConfig)
    turn: TurnConfig = attrs.field(factory=TurnConfig)
    credentials: CredentialsConfig = attrs.field(factory=CredentialsConfig)
    log: LogConfig = attrs.field(factory=LogConfig)
    telemetry: TelemetryConfig = attrs.field(factory=TelemetryConfig)
    plugins: PluginsConfig = attrs.field(factory=PluginsConfig)
    file: Path | None = None
    """The file this was read from."""
    text: str = attrs.field(default="", repr=False)
    """What stood in it."""
    raw_tables: Mapping[str, Mapping[str, Any]] = attrs.field(factory=dict, repr=False)
    """``[plugins.NAME]`` as TOML gave them."""
    plugin_tables: Mapping[str, Any] = attrs.field(factory=dict)
    """``[plugins.NAME]`` as instances of the plugins' classes."""

    def __attrs_post_init__(self) -> None:
        if self.relay.is_used and self.ice.mode != "full":
            raise ValueError("ice.mode: must be 'full' when [relay] is used")
        if self.ice.candidates == "relay" and not self.relay.is_used:
            raise ValueError("ice.candidates: must not be 'relay' without [relay]")

    def table(self, cls: type[T]) -> T:
        """A plugin's own table, by the class it gave to ``sft_config_table``."""
        for table in self.plugin_tables.values():
            if type(table) is cls:
                return table
        raise LocalError(f"no plugin gave {cls.__name__} to sft_config_table")

    def with_tables(self, **tables: object) -> Config:
        """A copy with these plugin tables, by plugin name: for the tests of plugins."""
        return attrs.evolve(self, plugin_tables={**self.plugin_tables, **tables})

    def secret(self, key: str, file: str) -> str:
        """The first word of a secret file; ``key`` names it in the ``ConfigError``."""
        path = self.path(file)
        try:
            return path.read_text(encoding="utf-8").split(maxsplit=1)[0]
        except (OSError, UnicodeDecodeError, IndexError) as error:
            reason = "it is empty" if isinstance(error, IndexError) else error
            raise ConfigError(
                f"{self.file or 'configuration'}: {key}: {path} cannot be used: {reason}"
            ) from error

    def path(self, text: str) -> Path:
        """A path of the configuration: relative ones start at the folder of the file."""
        return (self.file.parent if self.file else Path()) / text
