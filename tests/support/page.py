"""One page of a :class:`~support.chromium.Chromium`: load, evaluate, click, watch the console, kill."""

from __future__ import annotations

import base64
import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import trio

if TYPE_CHECKING:
    from support.chromium import Chromium

Json: TypeAlias = dict[str, Any]


class ChromiumError(Exception):
    """The browser refused a command, went away, or a page threw."""


class PageCrashed(ChromiumError):
    """The page's renderer process has ended."""


class PageNavigated(ChromiumError):
    """The page went elsewhere while a command was under way; that one has no result."""


@attrs.frozen
class ConsoleMessage:
    """One line of a page's console: from a script (also a worker's), the browser, or an exception."""

    level: str  # log | info | warning | error | exception | ...
    text: str
    source: str = ""  # URL

    @property
    def is_error(self) -> bool:
        return self.level in ("error", "exception", "assert")


class Page:
    """One page; made by :meth:`Chromium.open_page`."""

    def __init__(self, browser: Chromium, context: str, target: str, session: str) -> None:
        self._browser = browser
        self._context = context
        self._target = target
        self._session = session
        self._loaded: set[str] = set()  # loader ids: one per document
        self._load = trio.Event()
        self._bindings: dict[str, Callable[[str], object]] = {}
        self.pid = 0
        """Process id of the page's renderer."""
        self.crashed = False
        self.console: list[ConsoleMessage] = []

    @property
    def errors(self) -> list[ConsoleMessage]:
        """Console errors, uncaught exceptions, and what the browser complained about (CSP, 404, ...)."""
        return [message for message in self.console if message.is_error]

    async def command(self, method: str, **params: Any) -> Json:
        """A DevTools command to this page."""
        if self.crashed:
            raise PageCrashed(method)
        return await self._browser.command(method, self._session, **params)

    async def prepare(self, size: tuple[int, int], dark: bool, before_load: str) -> None:
        await self.command("Page.enable")
        await self.command("Page.setLifecycleEventsEnabled", enabled=True)
        await self.command("Runtime.enable")
        await self.command("Log.enable")
        await self.command("Inspector.enable")
        await self.command(
            "Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True
        )
        await self.resize(*size)
        await self.prefer(dark=dark)
        if before_load:
            await self.command("Page.addScriptToEvaluateOnNewDocument", source=before_load)

    async def resize(self, width: int, height: int, *, touch: bool = False) -> None:
        """Set the viewport, in CSS pixels."""
        await self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=touch,
        )
        await self.command("Emulation.setTouchEmulationEnabled", enabled=touch)

    async def prefer(self, *, dark: bool = False, reduced_motion: bool = False) -> None:
        """Set what the media queries on the user's preferences see."""
        await self.command(
            "Emulation.setEmulatedMedia",
            features=[
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                {"name": "prefers-reduced-motion", "value": "reduce" if reduced_motion else ""},
            ],
        )

    async def goto(self, url: str, *, seconds: float = 20) -> None:
        """Load ``url`` and wait for its load event. A change of the fragment only loads nothing."""
        async with self._browser.lock:
            result = await self.command("Page.navigate", url=url)
            if result.get("errorText"):
                raise ChromiumError(f"{url}: {result['errorText']}")
            if loader := result.get("loaderId"):
                await self._wait_for_load(lambda loaded: loaded == loader, url, seconds)

    async def reload(self, *, seconds: float = 20) -> None:
        """Load the same address again, and wait for the load event."""
        async with self._browser.lock:
            before = self._loaded | {await self._loader()}
            await self.command("Page.reload")
            await self._wait_for_load(lambda loaded: loaded not in before, "reload", seconds)

    async def _loader(self) -> str:
        """The id of the load that brought the present document, whether it has ended or not."""
        return str((await self.command("Page.getFrameTree"))["frameTree"]["frame"]["loaderId"])

    async def _wait_for_load(self, is_awaited: Callable[[str], bool], what: str, seconds: float) -> None:
        """Wait for the load event of the awaited document: the one before may still have its own to come."""
        with trio.move_on_after(seconds) as scope:
            while not any(map(is_awaited, self._loaded)):
                await self._load.wait()
        if scope.cancelled_caught:
            raise ChromiumError(f"{what}: not loaded within {seconds} s")
        await self._browser.find_renderer(self)

    async def evaluate(self, expression: str, *, seconds: float = 30) -> Any:
        """The value of a JavaScript expression, awaited if it is a promise, as JSON gives it.

        ``await`` may be used at the top level. ``ChromiumError`` if it throws or takes longer than
        ``seconds``.
        """
        with trio.move_on_after(seconds):
            result = await self._evaluate(expression, repl=False)
            details = result.get("exceptionDetails")
            if details and "await is only valid" in _exception_text(details):
                result = await self._evaluate(expression, repl=True)
            if "exceptionDetails" in result:
                raise ChromiumError(f"{_exception_text(result['exceptionDetails'])}\nin: {expression[:200]}")
            return result["result"].get("value")
        raise ChromiumError(f"no result within {seconds} s: {expression[:200]}")

    async def _evaluate(self, expression: str, *, repl: bool) -> Json:
        """Only the REPL mode knows ``await`` at the top level; only the other one awaits a promise."""
        return await self.command(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            replMode=repl,
            userGesture=True,
        )

    async def call(self, function: str, *arguments: Any, seconds: float = 30) -> Any:
        """Call a JavaScript function, e.g. ``(a, b) => a + b``, with arguments that JSON can carry."""
        return await self.evaluate(f"({function})(...{json.dumps(arguments)})", seconds=seconds)

    async def wait_for(self, expression: str, *, seconds: float = 20) -> Any:
        """Wait until a JavaScript expression is true-ish, and give its value. The page may go elsewhere."""
        value = None
        with trio.move_on_after(seconds):
            while True:
                with suppress(PageNavigated):
                    if value := await self.evaluate(expression, seconds=seconds):
                        return value
                await trio.sleep(0.05)
        raise ChromiumError(f"still {value!r} after {seconds} s: {expression[:200]}")

    async def bind(self, name: str, handler: Callable[[str], object]) -> None:
        """Make ``window.<name>(text)`` call ``handler(text)`` here; the page gets no answer."""
        self._bindings[name] = handler
        await self.command("Runtime.addBinding", name=name)

    async def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release one key: a character or a name such as ``Tab``, ``Enter``, ``Escape``."""
        text = {"Enter": "\r", "Space": " "}.get(key, key if len(key) == 1 else "")
        name = " " if key == "Space" else key
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, "Space": 32, "ArrowLeft": 37, "ArrowRight": 39}
        event: Json = {
            "key": name,
            "code": f"Key{key.upper()}" if len(key) == 1 and key.isalpha() else key,
            "windowsVirtualKeyCode": codes.get(key) or (ord(key.upper()) if len(key) == 1 else 0),
            "modifiers": 8 if shift else 0,
        }
        down = event | ({"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"})
        await self.command("Input.dispatchKeyEvent", **down)
        await self.command("Input.dispatchKeyEvent", **(event | {"type": "keyUp"}))

    async def type_text(self, text: str) -> None:
        """Put text into the focused field, as an input method does."""
        await self.command("Input.insertText", text=text)

    async def click(self, selector: str) -> None:
        """Click into the middle of the first element that matches a CSS selector, as a mouse does."""
        box = await self.call(
            "s => { const e = document.querySelector(s); e.scrollIntoView({block: 'nearest'});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; }",
            selector,
        )
        event: Json = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        await self.command("Input.dispatchMouseEvent", type="mousePressed", **event)
        await self.command("Input.dispatchMouseEvent", type="mouseReleased", **event)

    async def screenshot(self, path: str | Path) -> None:
        """Write the viewport as PNG."""
        data = (await self.command("Page.captureScreenshot", format="png"))["data"]
        await trio.Path(path).write_bytes(base64.b64decode(data))

    def kill(self) -> None:
        """SIGKILL the page's renderer: the client vanishes without a word."""
        os.kill(self.pid, signal.SIGKILL)

    async def close(self) -> None:
        """Close the page (its ``pagehide`` runs) and its context. May be called twice."""
        self._browser.forget(self)
        for method, params in (
            ("Target.closeTarget", {"targetId": self._target}),
            ("Target.disposeBrowserContext", {"browserContextId": self._context}),
        ):
            try:
                await self._browser.command(method, **params)
            except ChromiumError:
                pass  # gone already, which is what we want

    def on_event(self, session: str, method: str, params: Json) -> None:
        """Take one DevTools event of this page or of one of its workers."""
        if method == "Page.lifecycleEvent":
            if params["name"] == "load" and params["frameId"] == self._target:
                self._loaded.add(params["loaderId"])
                self._load.set()
                self._load = trio.Event()
        elif method == "Runtime.consoleAPICalled":
            text = " ".join(_console_text(argument) for argument in params["args"])
            frames = params.get("stackTrace", {}).get("callFrames") or [{"url": ""}]
            self.console.append(ConsoleMessage(params["type"], text, frames[0]["url"]))
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(ConsoleMessage("exception", _exception_text(details), details.get("url", "")))
        elif method == "Log.entryAdded":
            entry = params["entry"]
            if entry["source"] == "worker":
                return  # comes from the worker's own session as well
            self.console.append(ConsoleMessage(entry["level"], entry["text"], entry.get("url", "")))
        elif method == "Runtime.bindingCalled":
            if handler := self._bindings.get(params["name"]):
                handler(params["payload"])
        elif method == "Inspector.targetCrashed":
            self.crashed = True
            self._browser.fail_session(self._session, "the page's renderer has ended")
        elif method == "Target.attachedToTarget":
            self._browser.adopt(params["sessionId"], self)
            trio.lowlevel.spawn_system_task(self._watch_worker, params["sessionId"])

    async def _watch_worker(self, session: str) -> None:
        try:
            await self._browser.command("Runtime.enable", session)
        except (ChromiumError, trio.ClosedResourceError, trio.BrokenResourceError):
            pass  # the worker has ended already


def _console_text(argument: Json) -> str:
    return str(argument.get("value", argument.get("description", argument.get("type"))))


def _exception_text(details: Json) -> str:
    exception = details.get("exception", {})
    return str(exception.get("description") or exception.get("value") or details.get("text"))
