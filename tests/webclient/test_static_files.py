"""The files as they are, and how they are served."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from sft.config import Config, ServerConfig
from sft.webclient import STATIC, content_security_policy, routes, sft_http_routes, static_files
from sft.webclient.live import SHARED
from support.asgi import request

PAGE = (STATIC / "index.html").read_text()
LIVE = STATIC / "live"
SCRIPTS = sorted(STATIC.rglob("*.js"))


class Inline(HTMLParser):
    """Collects what a strict policy forbids, and what the page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self.loaded: list[str] = []
        self._in: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.forbidden += [f"<{tag} {name}>" for name in values if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and "src" not in values):
            self.forbidden.append(f"<{tag}>")
        if tag in ("script", "img", "video", "audio", "link", "iframe"):
            self.loaded += [values[key] or "" for key in ("src", "href") if key in values]


@pytest.mark.parametrize(
    ("folder", "prefix"), [(STATIC, "../static/"), (LIVE, "live/")], ids=["web client", "live view"]
)
def test_the_page_has_nothing_inline_and_loads_only_files_that_exist(folder: Path, prefix: str) -> None:
    parser = Inline()
    parser.feed((folder / "index.html").read_text())
    assert parser.forbidden == []
    assert parser.loaded
    for reference in parser.loaded:
        assert reference.startswith(prefix)
        name = reference.removeprefix(prefix)
        assert (folder / name).is_file() or (folder == LIVE and name in SHARED)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_import_only_files_of_ours(script: Path) -> None:
    for reference in re.findall(r"""(?:from|import)\s*\(?\s*['"]([^'"]+)""", script.read_text()):
        assert reference.startswith("./")
        assert (script.parent / reference).is_file()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_modules_without_syntax_errors(script: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    command = [node, "--input-type=module", "--check"]
    subprocess.run(command, input=script.read_bytes(), check=True, timeout=30)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_do_not_build_code_or_markup_from_text(script: Path) -> None:
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", script.read_text()
    )


@pytest.mark.parametrize("folder", [STATIC, LIVE], ids=["web client", "live view"])
def test_every_id_the_scripts_use_is_in_the_page(folder: Path) -> None:
    scripts = [script.read_text() for script in folder.glob("*.js")]
    used = {name for script in scripts for name in re.findall(r"(?:byId|stamp)\('([^']+)'\)", script)}
    assert used
    assert used - set(re.findall(r'\bid="([^"]+)"', (folder / "index.html").read_text())) == set()


@pytest.mark.parametrize("path", ["/", "/c/tea", "/c/tea%20time"])
async def test_the_page_is_served_for_the_start_and_for_every_call(path: str) -> None:
    status, headers, body = await request(Starlette(routes=routes()), path)
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert body.decode() == PAGE


async def test_every_file_is_served_under_static_with_its_type_and_the_policy() -> None:
    app = Starlette(routes=routes())
    for file in static_files(STATIC):
        status, headers, body = await request(app, f"/static/{file.name}")
        assert (status, body) == (200, file.read_bytes()), file
        assert headers["content-security-policy"] == content_security_policy()
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-cache"
        if file.suffix == ".js":
            assert headers["content-type"].startswith("text/javascript")


async def test_what_is_not_there_is_not_found() -> None:
    app = Starlette(routes=routes())
    for path in (
        "/static/none.js",
        "/static/../__init__.py",
        "/static/live/live.js",
        "/live",
        "/live/state",
        "/c/",
        "/c/a/b",
    ):
        assert (await request(app, path))[0] == 404


async def test_a_browser_that_has_the_file_gets_304() -> None:
    app = Starlette(routes=routes())
    etag = (await request(app, "/static/app.js"))[1]["etag"]
    status, headers, body = await request(app, "/static/app.js", {"if-none-match": f'"other", W/{etag}'})
    assert (status, headers["etag"], body) == (304, etag, b"")
    assert (await request(app, "/static/app.js", {"if-none-match": '"other"'}))[0] == 200


async def test_head_is_answered_without_a_body() -> None:
    status, _, body = await request(Starlette(routes=routes()), "/", method="HEAD")
    assert (status, body) == (200, b"")


def test_the_policy_lets_in_nothing_inline_and_only_the_named_server() -> None:
    policy = content_security_policy("https://sft.example.net/path")
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none';")
    assert "connect-src 'self' https://sft.example.net;" in policy
    assert "connect-src 'self';" in content_security_policy()
    assert "connect-src 'self';" in content_security_policy("https://[2001:db8::1]:8443")


def test_the_plugin_serves_the_page_on_the_public_listener_unless_told_not_to() -> None:
    services: object = None
    [found] = sft_http_routes(config=Config(), services=services)  # type: ignore[arg-type]  # not used
    assert found.listener == "public"
    assert {route.path for route in found.routes if isinstance(route, Route)} >= {"/", "/c/{name}"}
    off = Config(server=ServerConfig(web_client=False))
    assert sft_http_routes(config=off, services=services) == []  # type: ignore[arg-type]  # not used
