"""A receiver behind a bottleneck: sound comes first, pictures shrink and come back, and no queue stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from typing import TypeAlias

import pytest

from support.internet import TRAIN, Internet
from support.lab import Host
from support.one_way import OneWay
from support.server import Json, Server
from support.streams import Watch
from support.web_pages import ANN, BOB, CID, Browser, WebPage, hears, participant

pytestmark = pytest.mark.browser

Serve: TypeAlias = Callable[..., AbstractContextManager[Server]]
Browse: TypeAlias = Callable[[Host], Browser]

CALL = "from the train"
RATE = "600kbit"
ROOM = "3s"
"""The bottleneck drops nothing before a packet would wait that long: whoever fills it, waits."""


class Bottleneck:
    """The way to the train, in the kernel's token bucket."""

    def __init__(self, internet: Internet) -> None:
        self._host = internet.hosts["internet"]

    def narrow(self) -> None:
        self._do("replace", "tbf", "rate", RATE, "burst", "5kb", "latency", ROOM)

    def widen(self) -> None:
        self._do("replace", "pfifo", "limit", "1000")

    def _do(self, what: str, *discipline: str) -> None:
        self._host.run("tc", "qdisc", what, "dev", "train", "root", *discipline)


@pytest.fixture
def bottleneck(internet: Internet) -> Iterator[Bottleneck]:
    bottleneck = Bottleneck(internet)
    yield bottleneck
    bottleneck.widen()


@pytest.fixture
def pages(internet: Internet, browse: Browse, serve: Serve) -> Iterator[tuple[Server, WebPage]]:
    """A server, and Bob's page on the train, who sees and hears Ann and Cid at home."""
    with serve() as server, ExitStack() as stack:
        for person in (ANN, CID):
            stack.callback(browse(internet.home).join(server, person, CALL, fps=15).close)
        bob = browse(internet.train).join(server, BOB, CALL, fps=15)
        stack.callback(bob.close)
        bob.find(ANN, CID, seconds=15)
        yield server, bob


def sees_all_large(state: Json) -> bool:
    return all(participant(state, person)["width"] == 640 for person in (ANN, CID))


def of_bob(server: Server) -> Json:
    """What the snapshot says of the one who is on the train."""
    people = [one for call in server.worker()["calls"] for one in call["participants"]]
    (bob,) = [one for one in people if one["remote"].startswith(f"{TRAIN}:")]
    return bob


def show(what: str, delays: list[float]) -> None:
    shown = " ".join(f"{1000 * delays[int(part * (len(delays) - 1))]:.0f}" for part in (0.5, 0.95, 0.99, 1))
    print(f"{what}: {shown} ms on the way (median, 95 %, 99 %, most)")


def test_behind_600_kbit_sound_is_whole_and_pictures_shrink_and_come_back(
    internet: Internet, bottleneck: Bottleneck, pages: tuple[Server, WebPage]
) -> None:
    server, bob = pages
    bob.wait(sees_all_large, 30)
    with OneWay(internet.server, internet.train, TRAIN) as way:
        watch = Watch(bob)
        start = time.time()
        bottleneck.narrow()
        bob.wait(lambda state: not sees_all_large(state), 15)
        server.wait(lambda server: of_bob(server)["limited_by"])
        print(f"limited by {of_bob(server)['limited_by']} {time.time() - start:.1f} s after it got narrow")
        time.sleep(max(0.0, start + 10 - time.time()))
        settled = time.time()
        time.sleep(20)
        delays = way.between(settled, time.time())
        show("at first", way.between(start, settled))
        show("then", delays)
        for audio in watch.received("audio"):
            lost = audio["packetsLost"] / (audio["packetsLost"] + audio["packetsReceived"])
            concealed = audio.share("concealedSamples", "totalSamplesReceived")
            print(f"sound: {lost:.2%} of the packets lost, {concealed:.2%} concealed")
            assert lost < 0.02
        assert delays[-1] < 0.3
        state = bob.state()
        assert all(hears(state, person) for person in (ANN, CID))

        bottleneck.widen()
        start = time.time()
        bob.wait(sees_all_large, 60)
        print(f"all pictures are large again {time.time() - start:.1f} s after it got wide")
