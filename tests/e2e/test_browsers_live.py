"""The operator's live view of a real server of two workers, with real clients in calls."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.clients import ClientPool, meet
from support.rtp import audio
from support.server import Server, ports_of_two_workers, running_server
from support.web_pages import ANN, BOB, Browser
from support.wire import new_id

pytestmark = pytest.mark.browser

ROWS = "document.querySelectorAll('tbody tr').length"
STATE = "document.querySelector('#state').innerText"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path, server={"workers": 2}, plugins=ports_of_two_workers()) as server:
        yield server


def test_real_calls_appear_move_and_vanish_and_their_hashes_stay_short(
    server: Server, browser: Browser, clients: ClientPool
) -> None:
    live = browser.open(f"{server.operator_url}/")
    live.wait_until("document.querySelector('#no-calls').checkVisibility()")
    assert live.evaluate("document.querySelectorAll('.worker').length") == 2
    call, (ann, bob) = new_id(), (clients.make(), clients.make())
    for client in (ann, bob):
        client.join(server.url, call)
    meet(ann, bob)
    live.wait_until(f"{ROWS} === 2")
    sending = ann.start_sending(audio(ann.ssrcs["audio"], 400), 50)
    rows = "[...document.querySelectorAll('tbody tr')]"
    sends, gets = (
        f"{rows}.find((one) => one.textContent.includes('{client.user[:8]}'))"
        f".querySelector('[data-field={way}-rate] .number').textContent"
        for client, way in ((ann, "up"), (bob, "down"))
    )
    live.wait_until(f"parseInt({sends}) > 0 && parseInt({gets}) > 0")
    live.wait_until("document.querySelector('[data-field=up-streams] .pill') !== null")
    page = live.evaluate("document.documentElement.outerHTML")
    state = server.get("/live/state", operator=True).body.decode()
    for name in (ann.user, bob.user, call):
        for told in (page, state):
            assert name[:8] in told
            assert name[:9] not in told
    sending.result(20)
    ann.hangup()
    live.wait_until(f"{ROWS} === 1")
    bob.hangup()
    live.wait_until("!document.querySelector('details') && !document.querySelector('#no-calls').hidden")
    assert live.errors == []


def test_pages_with_video_are_seen_with_their_layers(server: Server, browser: Browser) -> None:
    live = browser.open(f"{server.operator_url}/live")
    ann, bob = (browser.join(server, person, "tea time") for person in (ANN, BOB))
    ann.find(BOB, seconds=20)
    live.wait_until(f"{ROWS} === 2")
    pills = "[...document.querySelectorAll('[data-field={}-streams] .pill')].map((one) => one.textContent)"
    live.wait_until(f"{pills.format('down')}.some((one) => one.includes('picture'))")
    live.wait_until(f"{pills.format('up')}.filter((one) => one === 'large picture').length === 2")
    live.wait_until(
        "[...document.querySelectorAll('[data-field=trip]')].some((one) => one.innerText.endsWith('ms'))"
    )
    for page in (ann, bob):
        page.close()
    live.wait_until(f"{ROWS} === 0", 20)


def test_a_server_that_hangs_is_told_and_its_return_seen(server: Server, browser: Browser) -> None:
    live = browser.open(f"{server.operator_url}/live")
    live.wait_until(f"{STATE} === 'Running'")
    server.signal(signal.SIGSTOP)
    try:
        live.wait_until(f"{STATE} === 'The server does not answer'", 15)
    finally:
        server.signal(signal.SIGCONT)
    live.wait_until(f"{STATE} === 'Running'", 15)


def test_the_clients_listener_has_nothing_of_it(server: Server) -> None:
    for path in ("/live", "/live/state", "/live/live.js", "/static/live/live.js", "/static/live/index.html"):
        assert server.get(path).status == 404
        if path.startswith("/live"):
            assert server.get(path, operator=True).status == 200
