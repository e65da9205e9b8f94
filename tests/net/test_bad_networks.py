"""Calls of which one page is on a bad network: what it loses is repaired, and it stays in the call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from typing import TypeAlias

import pytest

from support.bad_link import BadLink
from support.impair import Conditions
from support.internet import Internet
from support.lab import Host
from support.server import Server
from support.streams import Watch
from support.web_pages import ANN, BOB, Browser, WebPage, hears, participant

pytestmark = pytest.mark.browser

Serve: TypeAlias = Callable[..., AbstractContextManager[Server]]
Browse: TypeAlias = Callable[[Host], Browser]

CALL = "from the train"
FPS = 15

LOSSY = {"loss": 0.05, "delay": 0.05, "jitter": 0.015}
"""Each way; the round trip is 100 ms, give or take 30, and every tenth question or its answer is lost."""
HELD_BACK = 240
"""Milliseconds: less is not enough for repeats over this way to come in time."""


@pytest.fixture
def wireless(internet: Internet) -> Iterator[BadLink]:
    """The way of the train; perfect again afterwards."""
    yield internet.wireless
    internet.wireless.set_both(**asdict(Conditions()))


@pytest.fixture
def server(serve: Serve) -> Iterator[Server]:
    with serve() as server:
        yield server


@pytest.fixture
def ann(internet: Internet, browse: Browse, server: Server) -> Iterator[WebPage]:
    """At home."""
    page = browse(internet.home).join(server, ANN, CALL, fps=FPS)
    yield page
    page.close()


@pytest.fixture
def bob(internet: Internet, browse: Browse, server: Server, ann: WebPage) -> Iterator[WebPage]:
    """On the train, seen and heard by Ann."""
    page = browse(internet.train).join(server, BOB, CALL, fps=FPS)
    page.find(ANN, seconds=15)
    ann.find(BOB, seconds=15)
    yield page
    page.close()


def lose_for(seconds: float, ann: WebPage, bob: WebPage) -> None:
    """The link is lossy already, and the pages have got used to it: what a while of it is like."""
    ann.wait(lambda state: participant(state, BOB)["heldBack"] >= HELD_BACK, 90)
    bob.wait(lambda state: participant(state, ANN)["heldBack"] >= HELD_BACK, 90)
    watches = {page: Watch(page) for page in (ann, bob)}
    time.sleep(seconds)
    for page, watch in watches.items():
        name = page.person.name
        (audio,), (video,) = watch.received("audio"), watch.received("video")
        frozen = video["totalFreezesDuration"] / watch.seconds
        concealed = audio.share("concealedSamples", "totalSamplesReceived")
        lost = {one.name: one["packetsLost"] / one["packetsReceived"] for one in (audio, video)}
        print(f"{name}: {frozen:.2%} of the time frozen ({video['freezeCount']:.0f} times)", end=", ")
        print(f"{concealed:.2%} of the sound concealed", end=", ")
        print(f"held back {max(one['heldBack'] for one in page.state()['participants'].values()):.0f} ms")
        print(f"{name}: lost for good {lost['audio']:.2%} of audio, {lost['video']:.2%} of video")
        assert frozen < 0.02
        assert video["framesDecoded"] > 0.9 * FPS * watch.seconds
        assert max(lost.values()) < 0.01, "nearly all that the link lost was repeated"
        for sent in watch.sent():
            again, keyframes = sent["retransmittedPacketsSent"], sent["keyFramesEncoded"]
            print(f"{name} sent {sent.name}: {sent['packetsSent']:.0f} packets", end=", ")
            print(f"{again:.0f} of them again, {keyframes:.0f} keyframes")
            assert keyframes <= watch.seconds / 2
            if page is bob and sent.name == "audio":
                assert again, "Chromium repeats audio, though its answer does not say so"


def test_what_is_lost_on_the_way_is_repaired_before_it_is_missed(
    wireless: BadLink, ann: WebPage, bob: WebPage, server: Server
) -> None:
    wireless.set_both(**LOSSY)
    lose_for(40, ann, bob)
    counts = wireless.set_both()
    for way, count in counts.items():
        print(f"{way}: {count['lost']} of {count['taken']} packets lost")
    worker = server.worker()
    print(f"repairs: {worker['repair']}")
    print(f"pictures taken away: {worker['degradations']}")


@pytest.mark.nightly
@pytest.mark.parametrize("ordered", [True, False])
def test_what_is_lost_in_three_minutes_is_repaired(
    wireless: BadLink, ann: WebPage, bob: WebPage, ordered: bool
) -> None:
    wireless.set_both(**LOSSY, ordered=ordered)
    lose_for(180, ann, bob)


def requests(page: WebPage) -> int:
    """HTTP requests of a join that the page has made."""
    made: int = page.evaluate(
        "performance.getEntriesByType('resource').filter(({ name }) => "
        "/\\/sft\\/[0-9a-f]{32}$/.test(new URL(name).pathname)).length"
    )
    return made


def test_a_cut_of_ten_seconds_ends_and_the_call_goes_on(
    wireless: BadLink, ann: WebPage, bob: WebPage, server: Server
) -> None:
    joined, kid = requests(bob), bob.state()["kid"]
    assert joined
    wireless.set_both(cut=True)
    cut = time.monotonic()
    bob.wait_for_text("#link-state", "Connection lost", 10)
    time.sleep(cut + 10 - time.monotonic())
    watches = {page: Watch(page) for page in (ann, bob)}
    wireless.set_both(cut=False)
    back = time.monotonic()
    while watches:
        for page, watch in list(watches.items()):
            if watch.received("video") and watch.received("audio"):
                print(f"{page.person.name} sees and hears again {watch.seconds:.2f} s after the cut")
                del watches[page]
        assert time.monotonic() < back + 3
    assert (requests(bob), bob.state()["kid"]) == (joined, kid), "the same connection"
    assert server.worker()["participants_total"] == 2
    bob.wait_until("document.querySelector('#link-state').hidden")
    for page, person in ((ann, BOB), (bob, ANN)):
        page.wait(lambda state, person=person: hears(state, person))
