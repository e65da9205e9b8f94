"""Takes the pictures of the docs: ``python docs/screenshot.py [call] [live]``. Needs Chromium.

``call``: three pages with generated pictures, through a server of its own. ``live``: the operator's live view
of such a call, and of one of light clients, two of whom have a network that loses packets.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from sft_load.client import Client
from sft_load.fleet import Fleet
from sft_load.http import read_url
from sft_load.messages import LOW

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))  # support.*: what tests share

from support.server import Server, free_tcp_ports, running_server  # noqa: E402  # found by the line above
from support.web_pages import Browser, Person, WebPage  # noqa: E402

IMAGES = DOCS / "images"
PEOPLE = (Person("Mira", 165, 440), Person("Jonas", 28, 660), Person("Aylin", 265, 880))
CALL = "quiet-heron-bay-42"
LIGHT = 9
"""Clients of the second call in the live view."""
SECONDS = 62
"""What its lines show."""


def call(folder: Path) -> None:
    """The picture in the README."""
    with running_server(folder) as server, Browser() as browser:
        first, *others = pages = _join(browser, server)
        others[1].click("#mute")
        first.wait_until("document.querySelector('.is-muted:not(.speaking)') !== null")
        first.wait_until("Number(getComputedStyle(document.querySelector('#toast')).opacity) === 0")
        first.screenshot(IMAGES / "three-person-call.png")
        for page in pages:
            page.close()


def live(folder: Path) -> None:
    """The picture in docs/operations.md."""
    media = free_tcp_ports(1)[0]
    plugins = {"transport_tcp": {"ports": f"{media}-{media + 1}"}}
    with running_server(folder, server={"workers": 2}, plugins=plugins) as server, Browser() as browser:
        pages = _join(browser, server)
        fleet = Fleet(read_url(server.url))
        try:
            _talk(fleet)
            view = browser.open(f"{server.operator_url}/live", size=(1440, 1210))
            fleet.run_for(SECONDS)
            view.screenshot(IMAGES / "live-view.png")
        finally:
            fleet.close()
        for page in pages:
            page.close()


def _join(browser: Browser, server: Server) -> list[WebPage]:
    pages = [browser.join(server, person, CALL, size="960x600") for person in PEOPLE]
    pages[0].find(*PEOPLE[1:], seconds=20)
    return pages


def _talk(fleet: Fleet) -> None:
    """A call in which everybody sends two layers and sees everybody, and three speak."""
    clients = fleet.gather(LIGHT, rids=("h", "l"))
    flows: list[tuple[Callable[[], None], float]] = []
    for index, client in enumerate(clients):
        client.start_audio(level=30 if index < 3 else 127)
        flows.append((client.send_audio, 50.0))
        for rid, packets in (("h", 2), ("l", 1)):
            source = client.start_video(900, packets, rid)
            flows.append((partial(client.send_frame, source), 30.0))
        others = [other.user for other in clients if other is not client]
        client.watch(others, time.monotonic(), [LOW] * len(others))
    _lose(clients[3], 14)
    _lose(clients[5], 30)
    fleet.start_media(flows)


def _lose(client: Client, every: int) -> None:
    """One in so many packets of those that the client sends is lost."""
    send, numbers = client._send, itertools.count(1)
    client._send = lambda data: None if next(numbers) % every == 0 else send(data)


if __name__ == "__main__":
    for name in sys.argv[1:] or ("call", "live"):
        with tempfile.TemporaryDirectory() as folder:
            {"call": call, "live": live}[name](Path(folder))
