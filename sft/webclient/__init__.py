"""The web client: static files, served on the public listener.

``/`` is the start page and ``/c/<call name>`` a call; both are the same document, whose scripts look at
the address. The call's secret is in the fragment of that address, which browsers never send.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sft import hookimpl
from sft.plugin.values import HttpRoutes

if TYPE_CHECKING:
    from sft.config import Config
    from sft.plugin.interfaces import GatewayServices

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}

_POLICY = (
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "connect-src 'self'{url}",
    "media-src 'self' blob: mediastream:",
    "img-src 'self' data:",
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)


def content_security_policy(server_url: str = "") -> str:
    """The page's policy: nothing from elsewhere, nothing inline, requests only to its own origin and
    to ``server_url``, if the operator named one. A policy has no way to write an IPv6 address (CSP Level 3
    section 2.3.1): a page from there gets by with its own origin."""
    parts = urlsplit(server_url)
    is_named = parts.scheme and parts.netloc and "[" not in parts.netloc
    origin = f" {parts.scheme}://{parts.netloc}" if is_named else ""
    return "; ".join(_POLICY).format(url=origin)


def headers(server_url: str = "") -> dict[str, str]:
    """What every file is sent with."""
    return {
        "content-security-policy": content_security_policy(server_url),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "permissions-policy": "camera=(self), microphone=(self), display-capture=(self), geolocation=()",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-cache",
    }


def static_files(folder: Path) -> list[Path]:
    """What of a folder browsers get; not what is in folders below."""
    return sorted(file for file in folder.iterdir() if file.suffix in TYPES)


def file_route(path: str, file: Path, common: dict[str, str], content: bytes | None = None) -> Route:
    """A route that serves one file (or ``content`` as such a file) from memory, with an ETag and thus 304
    for whoever has it already."""
    content = file.read_bytes() if content is None else content
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    async def serve(request: Request) -> Response:
        known = request.headers.get("if-none-match", "")
        if etag in (tag.strip().removeprefix("W/") for tag in known.split(",")):
            return Response(status_code=304, headers={**common, "etag": etag})
        headers = {**common, "etag": etag, "content-length": str(len(content))}
        body = b"" if request.method == "HEAD" else content
        return Response(body, headers=headers, media_type=TYPES[file.suffix])

    return Route(path, serve, methods=["GET", "HEAD"])


def routes(server_url: str = "", *, turn: bool = False) -> list[Route]:
    """All files under ``/static/``, and the page itself at ``/`` and ``/c/<call name>``; not the operator's
    live view, which lies in a folder below. ``turn``: have the page ask for TURN servers."""
    common = headers(server_url)
    page = STATIC / "index.html"
    content = page.read_bytes()
    if turn:
        content = content.replace(
            b'<meta name="sft-turn" content="">', b'<meta name="sft-turn" content="yes">'
        )
    files = static_files(STATIC)
    return [
        file_route("/", page, common, content),
        file_route("/c/{name}", page, common, content),
        *(file_route(f"/static/{file.name}", file, common) for file in files),
    ]


@hookimpl
def sft_http_routes(config: Config, services: GatewayServices) -> Sequence[HttpRoutes]:
    """Serves the web client unless ``[server] web_client`` is off."""
    if not config.server.web_client:
        return []
    return [HttpRoutes("public", routes(config.server.url, turn=bool(config.turn.servers)))]
