"""A small driver for headless Chromium: the DevTools protocol over a pipe, on trio.

::

    async with open_chromium() as browser:
        page = await browser.open_page("http://127.0.0.1:8585/")
        await page.wait_for("document.title === 'sft'")
        print(await page.evaluate("navigator.userAgent"), page.errors)

Every page has a browser context of its own: its own storage and permissions and its own renderer
process, so one page can be killed (:meth:`Page.kill`) without touching the others. No third-party
package is needed: Chromium reads and writes NUL-separated JSON on its descriptors 3 and 4
(``--remote-debugging-pipe``).
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.page import ChromiumError, ConsoleMessage, Json, Page, PageCrashed, PageNavigated

__all__ = [
    "Chromium",
    "ChromiumError",
    "ConsoleMessage",
    "Page",
    "PageCrashed",
    "open_chromium",
    "require_chromium",
    "trusts",
]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-startup-window",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--allow-loopback-in-peer-connection",
    # addresses instead of mDNS names as candidates; no renderer that belongs to no page
    "--disable-features=WebRtcHideLocalIpsWithMdns,SpareRendererForSitePerProcess,MediaRouter",
)

# Puts our pipes on the descriptors Chromium looks at, then becomes Chromium.
_LAUNCH = """
import fcntl, os, sys
reader, writer = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(reader, 3)
os.dup2(writer, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def require_chromium() -> str:
    """The path of Chromium (``$CHROMIUM`` overrides the search). Without one the test fails in CI
    (``CI`` set), and is skipped elsewhere."""
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    if os.environ.get("CI"):
        pytest.fail("Chromium is not installed, and in CI the browser tests must run")
    pytest.skip("Chromium is not installed: THE BROWSER TESTS DID NOT RUN")


def trusts(certificate: Path) -> str:
    """The flag with which Chromium takes a certificate of our own making, and so lets its pages be secure."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"--ignore-certificate-errors-spki-list={base64.b64encode(sha256(encoded).digest()).decode()}"


class _Reply:
    """Where a sent command's answer will be put."""

    __slots__ = ("event", "message", "session")

    def __init__(self, session: str | None) -> None:
        self.event = trio.Event()
        self.message: Json = {"error": {"message": "the browser is gone"}}
        self.session = session


class Chromium:
    """A running browser; made by :func:`open_chromium`."""

    def __init__(self, process: trio.Process, reader: trio.abc.ReceiveStream, writer: trio.abc.SendStream):
        self.process = process
        self._reader = reader
        self._writer = writer
        self._write_lock = trio.Lock()
        self.lock = trio.Lock()
        self._replies: dict[int, _Reply] = {}
        self._pages: dict[str, Page] = {}  # by DevTools session, the page's and its workers'
        self._last_id = 0
        self._gone = False

    async def command(self, method: str, session: str | None = None, **params: Any) -> Json:
        """Send one DevTools command and wait for its result. ``ChromiumError`` if it is refused."""
        if self._gone:
            raise ChromiumError(f"{method}: the browser is gone")
        self._last_id += 1
        number = self._last_id
        message: Json = {"id": number, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        reply = self._replies[number] = _Reply(session)
        try:
            async with self._write_lock:
                await self._writer.send_all(json.dumps(message).encode() + b"\0")
            await reply.event.wait()
        finally:
            self._replies.pop(number, None)
        if "error" in reply.message:
            reason = str(reply.message["error"].get("message"))
            kind = PageNavigated if "navigated" in reason else ChromiumError
            raise kind(f"{method}: {reason}")
        result: Json = reply.message["result"]
        return result

    async def open_page(
        self,
        url: str = "about:blank",
        *,
        size: tuple[int, int] = (1280, 800),
        dark: bool = False,
        permissions: Sequence[str] = ("audioCapture", "videoCapture", "clipboardReadWrite"),
        before_load: str = "",
    ) -> Page:
        """A new page in a context of its own, loaded when this returns.

        ``size`` is the viewport in CSS pixels, ``dark`` the preferred colour scheme; ``before_load``
        is a script that runs in every document before its own scripts.
        """
        context = (await self.command("Target.createBrowserContext", disposeOnDetach=True))[
            "browserContextId"
        ]
        await self.command("Browser.grantPermissions", permissions=permissions, browserContextId=context)
        async with self.lock:
            target = (await self.command("Target.createTarget", url="about:blank", browserContextId=context))[
                "targetId"
            ]
            session = (await self.command("Target.attachToTarget", targetId=target, flatten=True))[
                "sessionId"
            ]
            page = self._pages[session] = Page(self, context, target, session)
            await page.prepare(size, dark, before_load)
            await self.find_renderer(page)
        if url != "about:blank":
            await page.goto(url)
        return page

    async def find_renderer(self, page: Page) -> None:
        """Note the page's renderer: the newest one that is no other page's. A navigation may move a page
        to a new process, so pages load one at a time (``lock``)."""
        others = {other.pid for other in self._pages.values() if other is not page}
        page.pid = max(set(await self.renderers()) - others, key=_renderer_number)

    async def renderers(self) -> list[int]:
        """The process ids of all pages' renderers (not those of the browser's own windows)."""
        info = (await self.command("SystemInfo.getProcessInfo"))["processInfo"]
        numbers = [entry["id"] for entry in info if entry["type"] == "renderer"]
        return [number for number in numbers if "--top-chrome-webui" not in _command_line(number)]

    async def read(self) -> None:
        """Hand out what the browser sends, until it is gone."""
        buffer = bytearray()
        try:
            async for chunk in self._reader:
                buffer += chunk
                *messages, buffer = buffer.split(b"\0")
                for message in messages:
                    self._dispatch(json.loads(message))
        except (trio.ClosedResourceError, trio.BrokenResourceError):
            pass
        finally:
            self._gone = True
            self._fail(lambda reply: True, "the browser is gone")

    def _dispatch(self, message: Json) -> None:
        if "id" in message:
            if reply := self._replies.get(message["id"]):
                reply.message = message
                reply.event.set()
        elif page := self._pages.get(message.get("sessionId", "")):
            page.on_event(message["sessionId"], message["method"], message["params"])

    def _fail(self, which: Callable[[_Reply], bool], text: str) -> None:
        for reply in self._replies.values():
            if which(reply):
                reply.message = {"error": {"message": text}}
                reply.event.set()

    def fail_session(self, session: str, text: str) -> None:
        """Answer the open commands of a page whose renderer has died; nobody else will."""
        self._fail(lambda reply: reply.session == session, text)

    def adopt(self, session: str, page: Page) -> None:
        """Take events of a worker's session as events of its page."""
        self._pages[session] = page

    def forget(self, page: Page) -> None:
        self._pages = {session: other for session, other in self._pages.items() if other is not page}


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it has ended meanwhile
        return ""


def _renderer_number(pid: int) -> int:
    """Renderers are numbered in the order of their start."""
    found = re.search(r"--renderer-client-id=(\d+)", _command_line(pid))
    return int(found[1]) if found else -1


@asynccontextmanager
async def open_chromium(*extra_flags: str, within: Sequence[str] = ()) -> AsyncIterator[Chromium]:
    """Start a browser with a fresh profile; it and all its processes are gone afterwards.

    ``within``: what to put before its command, such as a lab's ``host.command``.
    """
    path = require_chromium()
    profile = tempfile.mkdtemp(prefix="sft-chromium-")
    for_child, to_browser = os.pipe()
    from_browser, by_child = os.pipe()
    log = os.open(os.path.join(profile, "stderr"), os.O_WRONLY | os.O_CREAT)
    launcher = [sys.executable, "-S", "-c", _LAUNCH, str(for_child), str(by_child)]
    flags = [*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", *extra_flags]
    try:
        process = await trio.lowlevel.open_process(
            [*within, *launcher, path, *flags],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(for_child, by_child),
            start_new_session=True,
        )
    finally:
        for descriptor in (for_child, by_child, log):
            os.close(descriptor)
    reader, writer = trio.lowlevel.FdStream(from_browser), trio.lowlevel.FdStream(to_browser)
    browser = Chromium(process, reader, writer)
    try:
        # A system task, not a nursery: what a test raises stays what it is. It ends with the pipe.
        trio.lowlevel.spawn_system_task(browser.read)
        with trio.fail_after(30):
            await browser.command("Browser.getVersion")
        yield browser
    finally:
        with trio.CancelScope(shield=True):
            try:
                os.killpg(process.pid, signal.SIGKILL)  # a session of our own: only what we started
            except ProcessLookupError:
                pass
            await process.wait()
            await reader.aclose()
            await writer.aclose()
        shutil.rmtree(profile, ignore_errors=True)
