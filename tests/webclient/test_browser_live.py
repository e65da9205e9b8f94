"""The operator's live view in Chromium, on numbers of the tests' making."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeAlias, cast

import hypercorn.config
import hypercorn.trio
import pytest
import trio
from starlette.applications import Starlette

from sft.plugin import DrainState, GatewayServices
from sft.webclient.live import LiveState, routes
from support.chromium import Chromium, Page
from support.live_numbers import LiveNumbers, call_snapshot, participant, snapshot

pytestmark = pytest.mark.browser

PHONE, TABLET, DESKTOP = (360, 740), (1024, 768), (1280, 800)
IDS = "[...document.querySelectorAll('tbody code')].map((one) => one.textContent)"

Changes: TypeAlias = dict[str, object]
"""What of a participant is not as usual."""

LOSES: Changes = {"loss_received": 0.2}


MEASURE = """
    window.drawn = [];
    const real = Response.prototype.json;
    Response.prototype.json = async function () {
      const state = await real.call(this);
      const begin = performance.now();
      setTimeout(() => {
        document.body.offsetHeight;
        window.drawn.push(Math.round(performance.now() - begin));
      });
      return state;
    };"""
"""Notes how long it takes from a state's arrival until it is drawn and laid out."""


OTHER_VERSION = """
    const real = Response.prototype.json;
    Response.prototype.json = async function () {
      const state = await real.call(this);
      return window.other ? { period: 1, workers: [{ time: Math.random() }] } : state;
    };"""
"""A server that was updated while the page was open, as long as ``other`` is true."""


class Instance:
    """What the page is told of, and a listener that can be silent."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.numbers = LiveNumbers()
        self.url = ""
        self._nursery = nursery
        self._seconds = 60.0
        self._calls: Mapping[str, Sequence[Changes]] = {}
        self._stands = False
        self._serving = trio.CancelScope()

    async def listen(self) -> None:
        """On the same port as before, if there was one."""
        config = hypercorn.config.Config()
        config.bind = [self.url.removeprefix("http://") or "127.0.0.1:0"]
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 0.1
        app = Starlette(routes=routes(LiveState(cast(GatewayServices, self.numbers), 1.0)))
        self._serving = trio.CancelScope()

        async def serve(task_status: trio.TaskStatus[list[str]]) -> None:
            with self._serving:
                await hypercorn.trio.serve(app, config, task_status=task_status, mode="asgi")  # type: ignore[arg-type]  # Starlette is an ASGI 3 application

        [self.url] = await self._nursery.start(serve)

    def fall_silent(self) -> None:
        self._serving.cancel()

    def stand_still(self) -> None:
        """From now on there are no new numbers."""
        self._stands = True

    def show(self, **calls: Sequence[Changes]) -> None:
        """From now on these calls are there: for each participant what is not as usual."""
        self._calls = calls
        self._take_snapshot()

    async def run(self) -> None:
        """A snapshot four times a second."""
        while not self._stands:
            self._seconds += 0.25
            self._take_snapshot()
            await trio.sleep(0.25)

    def _take_snapshot(self) -> None:
        now = self._seconds
        calls = [
            call_snapshot(
                name,
                [participant(name, number, now, **changes) for number, changes in enumerate(people)],
                now,
            )
            for name, people in self._calls.items()
        ]
        self.numbers.newest = [snapshot(0, now, calls)]


@pytest.fixture
async def instance(nursery: trio.Nursery) -> AsyncIterator[Instance]:
    instance = Instance(nursery)
    instance.show()
    await instance.listen()
    nursery.start_soon(instance.run)
    yield instance
    nursery.cancel_scope.cancel()


def short(call: str, number: int) -> str:
    one = participant(call, number, 0)
    return f"{one.user[:8]}.{one.client[:4]}"


async def wait_for_ids(page: Page, *ids: str) -> None:
    """Wait until the table's rows are these, in this order."""
    await page.wait_for(f"String({IDS}) === '{','.join(ids)}'")


async def text(page: Page, selector: str) -> str:
    return str(await page.evaluate(f"document.querySelector('{selector}').innerText"))


async def test_calls_and_participants_come_and_go(browser: Chromium, instance: Instance) -> None:
    page = await browser.open_page(f"{instance.url}/")
    await page.wait_for("document.querySelector('#no-calls').checkVisibility()")
    assert await page.evaluate("location.pathname") == "/live"
    instance.show(tea=[{}, {}])
    await wait_for_ids(page, short("tea", 0), short("tea", 1))
    assert "2 participants" in await text(page, "summary")
    assert "2" in await text(page, "#tile-participants .figure")
    instance.show(tea=[{}])
    await wait_for_ids(page, short("tea", 0))
    instance.show()
    await page.wait_for("!document.querySelector('details') && !document.querySelector('#no-calls').hidden")
    assert page.console == []


async def test_rates_are_made_of_counters(browser: Chromium, instance: Instance) -> None:
    instance.show(tea=[{}, {}])
    page = await browser.open_page(f"{instance.url}/live")
    rate = "document.querySelector('[data-field=up-rate] .number')?.textContent"
    await page.wait_for(f"{rate}?.endsWith('kbit/s')")
    before, after = (participant("tea", 0, seconds).bytes_received for seconds in (60, 160))
    shown = float((await page.evaluate(rate)).split()[0])
    assert shown == pytest.approx((after - before) / 100 * 8 / 1000, rel=0.15)
    await page.wait_for(
        "document.querySelector('[data-field=up-rate] .line').getAttribute('d').includes('L')"
    )
    assert re.fullmatch(
        r"\d+(\.\d)? %", await page.evaluate("document.querySelector('[data-field=cpu] .number').textContent")
    )


async def test_path_and_streams_of_a_participant_are_shown(browser: Chromium, instance: Instance) -> None:
    instance.show(
        tea=[{"transport": "tcp", "path": "relay", "remote_path": "srflx", "sends": ("audio", "low")}]
    )
    page = await browser.open_page(f"{instance.url}/live")
    await wait_for_ids(page, short("tea", 0))
    row = await text(page, "tbody tr")
    assert "TCP" in row
    assert "relay ↔ srflx" in row
    pills = "[...document.querySelectorAll('[data-field={}-streams] .pill')].map((one) => one.textContent)"
    assert await page.evaluate(pills.format("up")) == ["audio", "small picture"]
    assert await page.evaluate(pills.format("down")) == ["4audio", "1large picture", "8small picture"]


async def test_who_gets_less_than_it_wants_is_told_and_why(browser: Chromium, instance: Instance) -> None:
    limited: Changes = {"limited_by": "loss", "slots_reduced": 3, "slots_paused": 2, "receives": {"low": 4}}
    instance.show(tea=[{}, limited])
    page = await browser.open_page(f"{instance.url}/live")
    await wait_for_ids(page, short("tea", 1), short("tea", 0))
    why = "3 smaller, 2 paused as packets are lost"
    assert await text(page, "tbody tr small") == why
    pills = "[...document.querySelector('[data-field=down-streams]').children].map((one) => one.textContent)"
    assert await page.evaluate(pills) == ["4small picture", why]


async def test_what_is_wrong_is_told_first_and_only_such_calls_open_by_themselves(
    browser: Chromium, instance: Instance
) -> None:
    instance.show(big=[{}] * 12, tea=[{}, {}, LOSES])
    page = await browser.open_page(f"{instance.url}/live")
    await wait_for_ids(page, short("tea", 2), short("tea", 0), short("tea", 1))
    assert await page.evaluate("[...document.querySelectorAll('details')].map((one) => one.open)") == [
        True,
        False,
    ]
    assert "20 % lost from it" in await text(page, "tbody tr")
    assert await text(page, "summary .verdict") == "1 bad"
    assert await page.evaluate("document.title") == "1 in trouble – sft live"
    assert await text(page, "#tile-health .figure") == "1"


async def test_trouble_that_ends_stays_for_ten_seconds(browser: Chromium, instance: Instance) -> None:
    page = await browser.open_page(f"{instance.url}/live")
    levels = await page.evaluate(
        """import('/live/health.js').then(({ Steady }) => {
             const steady = new Steady();
             const found = [[0, 0], [2, 1], [0, 2], [1, 9], [0, 11.5], [1, 12], [0, 21], [0, 23]];
             return found.map(([level, now]) => {
               steady.take({ level, note: `of ${now}`, all: '' }, now * 1000);
               return [steady.level, steady.note, steady.past];
             });
           })"""
    )
    assert [level for level, *_ in levels] == [0, 2, 2, 2, 0, 1, 1, 0]
    assert [note for _, note, _ in levels[1:4]] == ["of 1"] * 3
    assert [past for *_, past in levels[:5]] == [False, False, True, True, False]


async def test_nothing_moves_under_the_pointer(browser: Chromium, instance: Instance) -> None:
    instance.show(tea=[{}, {}, {}])
    page = await browser.open_page(f"{instance.url}/live")
    in_order = [short("tea", number) for number in range(3)]
    await wait_for_ids(page, *in_order)
    await page.click("tbody tr:nth-child(2)")
    instance.show(tea=[{}, {}, LOSES])
    await page.wait_for("document.querySelector('tbody tr:nth-child(3)').dataset.level === '2'")
    assert await page.evaluate(IDS) == in_order
    await wait_for_ids(page, in_order[2], *in_order[:2])  # the pointer rests


async def test_a_server_that_falls_silent_is_told_and_comes_back_by_itself(
    browser: Chromium, instance: Instance
) -> None:
    instance.show(tea=[{}])
    page = await browser.open_page(f"{instance.url}/live")
    await wait_for_ids(page, short("tea", 0))
    assert await text(page, "#state") == "Running"
    instance.fall_silent()
    await page.wait_for("document.querySelector('#state').innerText === 'The server does not answer'")
    assert re.fullmatch(r"these numbers are \d+ s old", await text(page, "#since"))
    assert await page.evaluate("document.body.matches('.stale')")
    assert await page.evaluate(IDS) == [short("tea", 0)]
    await instance.listen()
    instance.numbers.state = DrainState.DRAINING
    await page.wait_for("document.querySelector('#state').innerText === 'Draining'")
    assert not await page.evaluate("document.body.matches('.stale')")


async def test_a_server_that_says_what_the_page_does_not_know_is_told_and_asked_on(
    browser: Chromium, instance: Instance
) -> None:
    instance.show(tea=[{}])
    page = await browser.open_page(f"{instance.url}/live", before_load=OTHER_VERSION)
    await wait_for_ids(page, short("tea", 0))
    await page.evaluate("window.other = true")
    told = "document.querySelector('#state').innerText"
    await page.wait_for(f"{told} === 'The server says what this page does not know: reload it'")
    assert await page.evaluate("document.body.matches('.stale')")
    await page.evaluate("window.other = false")
    await page.wait_for(f"{told} === 'Running'")
    assert not await page.evaluate("document.body.matches('.stale')")


async def test_numbers_that_stand_still_and_workers_that_are_silent_are_told(
    browser: Chromium, instance: Instance
) -> None:
    instance.numbers.workers = 2
    page = await browser.open_page(f"{instance.url}/live")
    await page.wait_for("document.querySelector('#missing').checkVisibility()")
    assert (await text(page, "#missing")).startswith("1 worker does not answer")
    instance.numbers.workers = 1
    await page.wait_for("document.querySelector('#missing').hidden")
    instance.stand_still()
    await page.wait_for("document.querySelector('#state').innerText === 'The numbers stand still'")


async def test_it_fits_in_light_and_dark_on_every_screen(browser: Chromium, instance: Instance) -> None:
    instance.show(tea=[{}, LOSES])
    page = await browser.open_page(f"{instance.url}/live")
    await wait_for_ids(page, short("tea", 1), short("tea", 0))
    for size in (PHONE, TABLET, DESKTOP):
        await page.resize(*size)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), size
    for dark in (False, True):
        await page.prefer(dark=dark)
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", ground)[:3])) < 64) is dark
    assert page.console == []


async def test_new_numbers_move_nothing(browser: Chromium, instance: Instance) -> None:
    instance.show(tea=[{}] * 4, two=[{}] * 3)
    page = await browser.open_page(f"{instance.url}/live")
    rate = "document.querySelector('[data-field=up-rate] .number')?.textContent"
    await page.wait_for(f"document.querySelector('tbody tr') && {rate} !== '–'")
    places = (
        "JSON.stringify([...document.querySelectorAll('main *')]"
        ".filter((one) => !one.closest('svg, .level, .shares'))"
        ".map((one) => { const { x, y, height } = one.getBoundingClientRect(); return [x, y, height]; }))"
    )
    before = await page.evaluate(places)
    shown = await page.evaluate(rate)
    await page.wait_for(f"{rate} !== '{shown}'")
    assert await page.evaluate(places) == before


async def test_the_keyboard_opens_calls_and_shows_everybody(browser: Chromium, instance: Instance) -> None:
    instance.show(big=[{}] * 30)
    page = await browser.open_page(f"{instance.url}/live")
    await page.wait_for("document.querySelectorAll('details').length === 1")
    await page.press("Tab")
    assert await page.evaluate("document.activeElement.tagName") == "SUMMARY"
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.press("Enter")
    await page.wait_for("document.querySelectorAll('tbody tr').length === 12")
    await page.press("Tab")
    assert await page.evaluate("document.activeElement.innerText") == "Show 18 more, who are fine"
    await page.press("Enter")
    await page.wait_for("document.querySelectorAll('tbody tr').length === 30")
    instance.show(big=[{}] * 30, tea=[LOSES])  # comes before it
    await page.wait_for("document.querySelectorAll('details').length === 2")
    assert (await page.evaluate("document.activeElement.innerText")).startswith("Show")


async def test_two_hundred_participants_are_drawn_in_a_moment(browser: Chromium, instance: Instance) -> None:
    instance.show(big=[LOSES if number % 40 == 0 else {} for number in range(200)])
    page = await browser.open_page(f"{instance.url}/live", before_load=MEASURE)
    await page.wait_for("document.querySelectorAll('tbody tr').length === 12")
    assert (await page.evaluate(IDS))[:5] == [short("big", number) for number in range(0, 200, 40)]
    few = await drawing_times(page)
    await page.click(".more")
    await page.wait_for("document.querySelectorAll('tbody tr').length === 200")
    print(f"200 participants: drawn in {few} ms, with all rows shown in {await drawing_times(page)} ms")
    assert page.console == []


async def drawing_times(page: Page) -> list[int]:
    """Of the next three states."""
    await page.evaluate("window.drawn.length = 0")
    await page.wait_for("window.drawn.length >= 3")
    times: list[int] = await page.evaluate("window.drawn")
    return times
