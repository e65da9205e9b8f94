"""The table ``[plugins.tracing]``."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import attrs
from attrs.validators import and_, ge, le

from sft.errors import ConfigError
from sft.plugin import Config

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 section 5.6.2: what the name of a header may be."""


def _is_url(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    """Errors do not repeat it: there may be a secret in it."""
    try:
        parts = urlsplit(value)
        usable = not value or (parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        usable = False
    if not usable:
        raise ValueError(f"{attribute.name!r} must be a URL such as 'http://127.0.0.1:4318/v1/traces'")
    if "@" in parts.netloc or parts.query:
        raise ValueError(
            f"{attribute.name!r} must be a URL without user, password and query, which would be logged: "
            "what is secret goes into 'headers_file'"
        )


@attrs.frozen
class TracingConfig:
    """OpenTelemetry traces of joins, sent to a collector by OTLP over HTTP.

    endpoint: the collector's URL for traces, such as `"http://127.0.0.1:4318/v1/traces"`; empty: no traces
    service_name: what this server is called there
    headers_file: a file with HTTP headers to send along, one `Name: value` a line, such as
        `Authorization: Bearer ...`; empty: none. It is the place for secrets: `endpoint` may hold none
    sample_ratio: share of the joins that are traced, from 0 to 1
    """

    endpoint: str = attrs.field(default="", validator=_is_url)
    service_name: str = "sft"
    headers_file: str = ""
    sample_ratio: float = attrs.field(default=1.0, validator=and_(ge(0.0), le(1.0)))


def read_headers(config: Config, file: str) -> dict[str, str]:
    """The headers in ``headers_file``; ``ConfigError`` if it cannot be used."""
    if not file:
        return {}
    headers = {}
    path = config.path(file)
    try:
        for number, line in enumerate(path.read_text(encoding="latin-1").splitlines(), 1):
            if not line.strip():
                continue
            name, _, value = (part.strip() for part in line.partition(":"))
            if not (_TOKEN.fullmatch(name) and value):
                raise ValueError(f"line {number} is no header")  # and may be a secret, so it is not shown
            headers[name.lower()] = value
    except (OSError, ValueError) as error:
        raise ConfigError(f"plugins.tracing.headers_file: {path} cannot be used: {error}") from error
    return headers
