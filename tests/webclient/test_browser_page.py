"""The page in Chromium, up to the point where a server is needed."""

from __future__ import annotations

import re

import pytest

from support.chromium import Chromium, Page

pytestmark = pytest.mark.browser

PHONE, DESKTOP = (360, 640), (1280, 800)
CALL = "/c/tea%20time#AAECAwQFBgcICQoLDA0ODw"


def failing_devices(name: str, *kinds: str) -> str:
    """A script that makes getUserMedia fail for these kinds of device, as the browser does."""
    condition = " || ".join(f"constraints.{kind}" for kind in kinds)
    return f"""
        const real = MediaDevices.prototype.getUserMedia;
        MediaDevices.prototype.getUserMedia = function (constraints) {{
          if ({condition}) return Promise.reject(new DOMException('no', '{name}'));
          return real.call(this, constraints);
        }};"""


TOLD_PROBLEMS = """
    const told = new Set();
    addEventListener('DOMContentLoaded', () => {
      const line = document.querySelector('#media-problem p');
      const note = () => line.textContent && told.add(line.textContent);
      new MutationObserver(note).observe(line, { childList: true });
    });"""
"""A script that keeps every text about the devices that was on the page, however shortly."""


def answering(script: str) -> str:
    """A script that answers every request to an SFT with the given JavaScript expression."""
    return f"""
        const real = window.fetch;
        window.fetch = (url, init) => String(url).includes('/sft/') ? {script} : real(url, init);"""


async def visible_text(page: Page, selector: str) -> str:
    await page.wait_for(f"document.querySelector('{selector}')?.checkVisibility()")
    return str(await page.evaluate(f"document.querySelector('{selector}').innerText")).strip()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
async def test_the_screens_before_a_call_fit_and_load_without_complaint(
    browser: Chromium, site: str, size: tuple[int, int], dark: bool
) -> None:
    page = await browser.open_page(f"{site}/", size=size, dark=dark)
    assert await visible_text(page, "#landing h1") == "Encrypted video calls"
    for address in ("/", CALL):
        await page.goto(site + address)
        await page.wait_for(
            "!document.querySelector('#landing, #prejoin').hidden || document.title !== 'sft'"
        )
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await page.wait_for("document.querySelector('#preview').videoWidth > 0")
    await page.evaluate("document.querySelector('[data-about]').click()")
    assert re.fullmatch(r"\d{4}( \d{4}){3}", await visible_text(page, "#about-code"))
    ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (max(map(int, re.findall(r"\d+", ground)[:3])) < 64) is dark
    assert page.console == []


async def test_a_new_call_gets_a_readable_name_and_a_secret_in_the_fragment(
    browser: Chromium, site: str
) -> None:
    page = await browser.open_page(f"{site}/")
    await page.click("#new-call")
    await page.wait_for("location.hash && document.querySelector('#prejoin')?.hidden === false")
    address = await page.evaluate("location.href")
    assert re.fullmatch(re.escape(site) + r"/c/[a-z]+-[a-z]+-[a-z]+-\d\d#[A-Za-z0-9_-]{22}", address)


async def test_a_call_entered_by_name_gets_a_secret_and_one_entered_by_link_keeps_its(
    browser: Chromium, site: str
) -> None:
    page = await browser.open_page(f"{site}/")
    for entered, expected in [
        ("tea time", r"/c/tea%20time#[A-Za-z0-9_-]{22}"),
        (f"https://elsewhere.example{CALL}", re.escape(CALL)),
    ]:
        await page.goto(f"{site}/")
        await page.evaluate("document.querySelector('#call-name').focus()")
        await page.type_text(entered)
        await page.press("Enter")
        await page.wait_for("document.querySelector('#prejoin')?.hidden === false && location.hash")
        assert re.fullmatch(re.escape(site) + expected, await page.evaluate("location.href"))


async def test_the_secret_never_leaves_the_page(browser: Chromium, site: str) -> None:
    page = await browser.open_page(
        before_load=answering("(window.sent ??= []).push(url + init.body) && Promise.reject(new TypeError())")
    )
    await page.goto(f"{site}{CALL}")
    await page.wait_for("!document.querySelector('#prejoin').hidden")
    await page.evaluate("document.querySelector('#your-name').value = 'Ann Meier'")
    await page.click("#join")
    [sent] = await page.wait_for("window.sent")
    assert re.match(site + r"/sft/[0-9a-f]{32}\{", sent)
    for private in ("AAECAwQFBgcICQoLDA0ODw", "Ann", "tea"):
        assert private not in sent
    resources = await page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name).join()")
    assert "AAECAw" not in resources


async def test_a_mutilated_link_is_told(browser: Chromium, site: str) -> None:
    page = await browser.open_page(f"{site}/c/tea#AAECAwQF")
    assert await visible_text(page, "#end-title") == "This link is not complete"


@pytest.mark.parametrize(
    ("script", "text"),
    [
        (failing_devices("NotFoundError", "audio", "video"), "No microphone and no camera were found"),
        (failing_devices("NotFoundError", "video"), "No camera was found"),
        (failing_devices("NotFoundError", "audio"), "No microphone was found"),
        (failing_devices("NotAllowedError", "audio", "video"), "may not use your microphone or camera"),
        (failing_devices("NotAllowedError", "video"), "may not use your camera"),
        (failing_devices("NotReadableError", "audio", "video"), "Another program is using"),
    ],
)
async def test_what_is_wrong_with_the_devices_is_told(
    browser: Chromium, site: str, script: str, text: str
) -> None:
    page = await browser.open_page(f"{site}{CALL}", before_load=script + TOLD_PROBLEMS)
    assert text in await visible_text(page, "#media-problem")
    [told] = await page.evaluate("[...told]")
    assert text in told
    assert page.errors == []


async def test_without_devices_a_test_picture_is_offered(browser: Chromium, site: str) -> None:
    page = await browser.open_page(
        f"{site}{CALL}", before_load=failing_devices("NotFoundError", "audio", "video")
    )
    await visible_text(page, "#use-test-picture")
    await page.click("#use-test-picture")
    await page.wait_for("document.querySelector('#preview').videoWidth === 640")
    assert not await page.evaluate("document.querySelector('#media-problem').checkVisibility()")
    await page.wait_for("Number(document.querySelector('#meter').style.getPropertyValue('--level')) > 0.1")


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Promise.reject(new TypeError())", "The server cannot be reached"),
        ("Promise.resolve(new Response('', { status: 503 }))", "The server has a problem"),
        ("Promise.resolve(new Response('{}'))", "The server said something unexpected"),
        *(
            (f"Promise.resolve(Response.json({{ type: 'CONFCONN', resp: true, status: {status} }}))", title)
            for status, title in [
                (1, "This page is out of date"),
                (2, "You need to log in"),
                (3, "Your login has expired"),
                (4, "The call is full"),
                (5, "You may not start this call"),
                (99, "The server refused"),
            ]
        ),
    ],
)
async def test_why_a_join_fails_is_told(browser: Chromium, site: str, answer: str, title: str) -> None:
    page = await browser.open_page(before_load=answering(answer))
    await page.goto(f"{site}/c/tea?synthetic=1&autojoin=1&name=Ann")
    assert await visible_text(page, "#end-title") == title
    assert await page.evaluate("document.activeElement.id") == "end-title"
    assert await page.evaluate("document.querySelector('#status').textContent") == title
    assert page.errors == []


@pytest.mark.parametrize(
    ("script", "title"),
    [
        (
            "Object.defineProperty(navigator, 'userAgentData', { value: undefined });"
            "Object.defineProperty(navigator, 'userAgent',"
            " { value: 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0' });",
            "This browser is not supported yet",
        ),
        ("delete window.RTCRtpScriptTransform;", "This browser is too old"),
        (
            "Object.defineProperty(window, 'isSecureContext', { value: false });",
            "This page needs a secure connection",
        ),
    ],
)
async def test_a_browser_that_cannot_take_part_is_told_why(
    browser: Chromium, site: str, script: str, title: str
) -> None:
    page = await browser.open_page(f"{site}{CALL}", before_load=script)
    assert await visible_text(page, "#end-title") == title


async def test_the_keyboard_reaches_everything_before_the_call_in_a_sane_order(
    browser: Chromium, site: str
) -> None:
    page = await browser.open_page(f"{site}{CALL}")
    await page.wait_for("document.querySelector('#pre-cameras').disabled === false")
    assert await page.evaluate("document.activeElement.id") == "your-name"
    await page.type_text("Ann")
    reached = []
    for _ in range(4):
        await page.press("Tab")
        reached.append(await page.evaluate("document.activeElement.id || document.activeElement.innerText"))
    assert reached == ["pre-microphones", "pre-cameras", "join", "End-to-end encrypted"]
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"

    pressed = "document.querySelector('#pre-camera').getAttribute('aria-pressed')"
    await page.press("v")
    await page.wait_for(f"{pressed} === 'false'")
    await page.press("v")
    await page.wait_for(f"{pressed} === 'true'")
    await page.press("m")
    await page.wait_for("document.querySelector('#pre-mic').getAttribute('aria-pressed') === 'false'")


async def test_a_press_is_not_lost_and_an_open_list_stays_when_the_screen_is_drawn_anew(
    browser: Chromium, site: str
) -> None:
    page = await browser.open_page(f"{site}{CALL}")
    await page.wait_for("document.querySelector('#pre-cameras').disabled === false")
    await page.evaluate("window.option = document.querySelector('#pre-cameras').options[0]")
    x, y = await page.evaluate(
        "(({ x, y, width, height }) => [x + width / 2, y + height / 2])"
        "(document.querySelector('#pre-camera .icon').getBoundingClientRect())"
    )
    place = {"x": x, "y": y, "button": "left", "clickCount": 1}
    await page.command("Input.dispatchMouseEvent", type="mousePressed", **place)
    await page.evaluate("document.querySelector('#pre-mic').click()")  # draws everything
    await page.wait_for("document.querySelector('#pre-mic').getAttribute('aria-pressed') === 'false'")
    await page.command("Input.dispatchMouseEvent", type="mouseReleased", **place)
    await page.wait_for("document.querySelector('#pre-camera').getAttribute('aria-pressed') === 'false'")
    assert await page.evaluate("option.isConnected")


async def test_letters_typed_into_a_field_are_no_shortcuts(browser: Chromium, site: str) -> None:
    page = await browser.open_page(f"{site}{CALL}")
    await page.wait_for("document.querySelector('#pre-camera').getAttribute('aria-pressed') === 'true'")
    await page.evaluate("document.querySelector('#your-name').focus()")
    for letter in "mv":
        await page.press(letter)
    assert await page.evaluate("document.querySelector('#your-name').value") == "mv"
    assert await page.evaluate("document.querySelector('#pre-camera').getAttribute('aria-pressed')") == "true"


async def test_every_control_has_a_name(browser: Chromium, site: str) -> None:
    page = await browser.open_page(f"{site}{CALL}")
    nameless = await page.evaluate(
        """[...document.querySelectorAll('button, input, select, video')]
            .filter((one) => !one.getAttribute('aria-label') && !one.innerText && !one.labels?.length
              && !one.textContent.trim())
            .map((one) => one.outerHTML)"""
    )
    assert nameless == []


async def test_the_name_is_remembered_and_the_address_can_give_it(browser: Chromium, site: str) -> None:
    page = await browser.open_page(f"{site}{CALL}", before_load=answering("Promise.reject(new TypeError())"))
    await page.wait_for("!document.querySelector('#prejoin').hidden")
    await page.evaluate("document.querySelector('#your-name').value = 'Ann'")
    await page.click("#join")
    await visible_text(page, "#end-title")
    await page.click("#again")
    await page.wait_for("document.querySelector('#your-name')?.value === 'Ann'")
    assert await page.evaluate("document.activeElement.id") == "join"
    await page.goto(f"{site}/c/tea?name=Bob")
    await page.wait_for("document.querySelector('#your-name').value === 'Bob'")


async def test_a_page_hosted_elsewhere_asks_the_server_it_names(browser: Chromium, site: str) -> None:
    name_the_server = """
        new MutationObserver(() => {
          const meta = document.querySelector('meta[name="sft-server"]');
          if (meta) meta.content = 'https://sft.example.net/';
        }).observe(document, { childList: true, subtree: true });"""
    tell = answering("(window.sent ??= []).push(String(url)) && Promise.reject(new TypeError())")
    page = await browser.open_page(before_load=name_the_server + tell)
    await page.goto(f"{site}/?call=tea&synthetic=1&autojoin=1&name=Ann")
    [sent] = await page.wait_for("window.sent")
    assert re.fullmatch(r"https://sft\.example\.net/sft/[0-9a-f]{32}", sent)
