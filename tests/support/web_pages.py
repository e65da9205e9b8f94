"""Pages of the web client for synchronous tests, beside real servers and aiortc clients.

::

    with Browser() as browser:
        ann = browser.join(server, ANN, "tea")
        bob = browser.join(server, BOB, "tea")
        ann.find(BOB)

The browser and its DevTools pipe live in a thread with a trio of its own, so that tests of one module
can share them.
"""

from __future__ import annotations

import threading
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

import attrs
import trio

from support.chromium import Chromium, open_chromium, require_chromium
from support.page import ChromiumError, ConsoleMessage, Page
from support.server import Server

Json: TypeAlias = dict[str, Any]
T = TypeVar("T")

SECRET = "AAECAwQFBgcICQoLDA0ODw"
"""The secret of our calls as it stands in the address: the bytes 0 to 15."""
OTHER_SECRET = "Dw4NDAsKCQgHBgUEAwIBAA"

HUE_TOLERANCE = 25
"""Degrees; what video coding does to a colour is less."""


@attrs.frozen
class Person:
    """Who sits at a page: the colour (degrees) and the tone (Hz) that it sends."""

    name: str
    hue: int
    tone: int


ANN, BOB, CID, EVE = (
    Person("Ann", 20, 440),
    Person("Bob", 140, 660),
    Person("Cid", 260, 880),
    Person("Eve", 320, 1100),
)
TONES = ",".join(str(person.tone) for person in (ANN, BOB, CID, EVE))


def address(server: Server, person: Person, call: str, secret: str = SECRET, **options: object) -> str:
    """The address with which somebody joins at once; ``options`` as in the web client's address.js."""
    query = {
        "synthetic": 1,
        "autojoin": 1,
        "camera": 1,
        "name": person.name,
        "hue": person.hue,
        "tone": person.tone,
        "tones": TONES,
        "fps": 10,
        **options,
    }
    return f"{server.page_url}/c/{urllib.parse.quote(call)}?{urllib.parse.urlencode(query)}#{secret}"


class WebPage:
    """One page of the web client."""

    def __init__(self, browser: Browser, page: Page, person: Person) -> None:
        self._browser = browser
        self._page = page
        self.person = person
        browser.pages.append(self)

    @property
    def errors(self) -> list[ConsoleMessage]:
        return self._page.errors

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        return self._browser.run(self._page.evaluate, expression)

    def state(self) -> Json:
        """What the page sees and hears: ``sftTest.state()`` of test-hooks.js."""
        state: Json = self.evaluate("sftTest.state()")
        return state

    def frame_ids(self) -> list[tuple[str, int]]:
        """The KID and counter of every frame encrypted since the page was loaded."""
        return [(kid, counter) for kid, counter in self.evaluate("sftTest.frameIds()")]

    def wait(self, happened: Callable[[Json], object], seconds: float = 10) -> Json:
        """Ask for the state until ``happened(state)``, and give it; AssertionError after ``seconds``."""

        async def ask() -> Json:
            state: Json = {}
            with trio.move_on_after(seconds):
                while True:
                    state = await self._page.evaluate("sftTest.state()")
                    if happened(state):
                        return state
                    await trio.sleep(0.1)
            others = await self._browser.states(self)
            raise AssertionError(
                f"{self.person.name}: not within {seconds} s: {state} {self.errors}\nOthers: {others}"
            )

        return self._browser.run(ask)

    def find(self, *people: Person, seconds: float = 10) -> Json:
        """Wait until the page sees and hears these people and has nobody else in its call."""
        return self.wait(lambda state: finds(state, *people), seconds)

    def wait_until(self, expression: str, seconds: float = 10) -> Any:
        """Wait until a JavaScript expression is true-ish, and give its value."""

        async def ask() -> Any:
            return await self._page.wait_for(expression, seconds=seconds)

        return self._browser.run(ask)

    def wait_for_text(self, selector: str, text: str, seconds: float = 10) -> None:
        """Wait until a visible element contains ``text``."""
        element = f"document.querySelector({selector!r})"
        try:
            self.wait_until(
                f"{element}?.checkVisibility() && {element}.innerText.includes({text!r})", seconds
            )
        except ChromiumError:
            shown = self.evaluate(f"{element}?.innerText")
            raise AssertionError(
                f"{selector} does not say {text!r} within {seconds} s but {shown!r}"
            ) from None

    def wait_for_end(self, title: str, seconds: float = 10) -> None:
        """Wait until the call is over for this page, for the reason that the screen's title tells."""
        self.wait_for_text("#end-title", title, seconds)

    def click(self, selector: str) -> None:
        self._browser.run(self._page.click, selector)

    def goto(self, url: str) -> None:
        self._browser.run(self._page.goto, url)

    def ignore_certificate_errors(self) -> None:
        """Take any certificate, as a user does who says so in the browser's warning."""

        async def command() -> None:
            await self._page.command("Security.setIgnoreCertificateErrors", ignore=True)

        self._browser.run(command)

    def reload(self) -> None:
        """Load the page again: the one that was there says goodbye, the new one joins."""
        self._browser.run(self._page.reload)
        self.wait_until("window.sftTest?.client.state === 'connected'", 20)

    def screenshot(self, path: Path) -> None:
        self._browser.run(self._page.screenshot, path)

    def kill(self) -> None:
        """SIGKILL the renderer: the page vanishes without a word."""
        self._page.kill()

    def close(self) -> None:
        """Close the tab. May be called twice."""
        self._browser.run(self._page.close)


class Browser:
    """Chromium in a thread of its own; a context manager."""

    def __init__(self, *flags: str, within: Sequence[str] = ()) -> None:
        """``within``: a lab's ``host.command``, to run on that host."""
        require_chromium()  # here, where its skipping works
        self._flags = flags
        self._within = within
        self._thread = threading.Thread(target=trio.run, args=(self._main,), daemon=True)
        self._ready = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        self._stop = trio.Event()
        self._chromium: Chromium | None = None
        self.pages: list[WebPage] = []
        """All that were opened."""

    def __enter__(self) -> Browser:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            trio.from_thread.run_sync(self._stop.set, trio_token=self._token)
        except trio.RunFinishedError:
            pass  # it could not start, which the caller knows
        self._thread.join()

    async def _main(self) -> None:
        try:
            async with open_chromium(*self._flags, within=self._within) as self._chromium:
                self._token = trio.lowlevel.current_trio_token()
                self._ready.set()
                await self._stop.wait()
        finally:
            self._ready.set()

    def run(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Carry out an async function in the browser's thread."""
        assert self._token is not None, "the browser did not start"
        return trio.from_thread.run(function, *arguments, trio_token=self._token)

    async def states(self, asker: WebPage) -> dict[str, Any]:
        """Of all other pages that can still tell, for a failure's text."""
        states: dict[str, Any] = {}
        for page in self.pages:
            with suppress(ChromiumError), trio.move_on_after(2):
                if page is not asker:
                    states[page.person.name] = await page._page.evaluate("window.sftTest?.state()")
        return states

    def open(self, url: str, person: Person = ANN, **options: Any) -> WebPage:
        """A page in a context of its own; ``options`` as :meth:`support.chromium.Chromium.open_page`."""

        async def open_page() -> Page:
            assert self._chromium is not None
            return await self._chromium.open_page(url, **options)

        return WebPage(self, self.run(open_page), person)

    def join(
        self, server: Server, person: Person, call: str, secret: str = SECRET, **options: object
    ) -> WebPage:
        """A page whose person is in the call."""
        page = self.open(address(server, person, call, secret, **options), person)
        page.wait_until("window.sftTest?.client.state === 'connected'", 20)
        return page


def participant(state: Json, person: Person) -> Json | None:
    """What a page knows of somebody: the entry in ``state()["participants"]``."""
    return next((one for one in state["participants"].values() if one["name"] == person.name), None)


def hears(state: Json, person: Person) -> bool:
    """Whether the page hears this person's tone, and no other, in the slot that is this person's."""
    one = participant(state, person)
    return one is not None and one["heard"] == [person.tone]


def sees(state: Json, person: Person) -> bool:
    """Whether the page shows this person's colour on this person's tile."""
    one = participant(state, person)
    if one is None or not one["tile"] or one["hue"] is None:
        return False
    return abs((one["hue"] - person.hue + 180) % 360 - 180) <= HUE_TOLERANCE


def finds(state: Json, *people: Person) -> bool:
    """Whether the page sees and hears these people and has nobody else in its call."""
    names = {one["name"] for one in state["participants"].values()}
    return names == {person.name for person in people} and all(
        sees(state, person) and hears(state, person) for person in people
    )
