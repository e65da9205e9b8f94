"""A call of three pages in Chromium, with the real server: all that the web client promises."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import pytest

from support.metrics import scrape
from support.server import Server
from support.streams import Watch
from support.web_pages import ANN, BOB, CID, Browser, Json, Person, WebPage, hears, participant, sees

pytestmark = pytest.mark.browser

PEOPLE = (ANN, BOB, CID)
CALL = "tea time"


class Party:
    """Ann, Bob and Cid in one call; whoever is missing can be brought back."""

    def __init__(self, server: Server, browser: Browser) -> None:
        self._server = server
        self._browser = browser
        self.pages: dict[Person, WebPage] = {}

    def join(self, person: Person, **options: object) -> WebPage:
        page = self.pages[person] = self._browser.join(self._server, person, CALL, **options)
        return page

    def complete(self) -> None:
        """Everybody is there, and sees and hears both others."""
        for person in PEOPLE:
            if person not in self.pages:
                self.join(person)
        self.wait_until_all_find_all()

    def wait_until_all_find_all(self, seconds: float = 15) -> None:
        for person, page in self.pages.items():
            others = [other for other in self.pages if other is not person]
            page.find(*others, seconds=seconds)

    def others(self, person: Person) -> list[WebPage]:
        return [page for other, page in self.pages.items() if other is not person]

    def forget(self, person: Person) -> None:
        self.pages.pop(person).close()


@pytest.fixture(scope="module")
def _party(server: Server, browser: Browser) -> Iterator[Party]:
    party = Party(server, browser)
    yield party
    for person in PEOPLE:
        if person in party.pages:
            party.forget(person)


@pytest.fixture
def party(_party: Party) -> Party:
    """The call that the tests of this module share, complete."""
    _party.complete()
    return _party


def test_everybody_finds_the_tone_and_the_colour_of_both_others_on_the_right_tile(
    server: Server, browser: Browser
) -> None:
    pages = [browser.join(server, person, "within ten seconds") for person in PEOPLE]
    start = time.monotonic()
    for page, person in zip(pages, PEOPLE, strict=True):
        others = [other for other in PEOPLE if other is not person]
        page.find(*others, seconds=start + 10 - time.monotonic())
    for page in pages:
        page.wait(lambda state: all(one["speaking"] for one in state["participants"].values()))
        assert page.errors == []
        assert not page.state()["banner"]
        page.close()


def test_all_who_hold_the_secret_see_the_same_code(party: Party) -> None:
    assert len({page.state()["code"] for page in party.pages.values()}) == 1


def people_of_three(server: Server) -> list[Json]:
    """Those in a call of three, as the snapshot has them."""
    calls = [call["participants"] for call in server.worker()["calls"]]
    return [one for people in calls for one in people if len(people) == 3]


def test_the_metrics_and_the_snapshot_tell_how_the_call_is(party: Party, server: Server) -> None:
    reports = 'sft_downstream_loss_ratio_count{{kind="{}"}}'.format
    server.wait(lambda _: all(scrape(server).get(reports(kind), 0) > 5 for kind in ("audio", "video")))
    server.wait(lambda _: all(one["round_trip_seconds"] for one in people_of_three(server)))
    seen = scrape(server)
    assert seen["sft_participants_connected"] >= 3
    assert "sft_approvals_missing" not in seen
    assert 0 < seen["sft_round_trip_seconds_sum"] / seen["sft_round_trip_seconds_count"] < 1
    for kind in ("audio", "video"):
        assert seen[f'sft_received_packets_total{{kind="{kind}"}}'] > 10
        assert seen[f'sft_sent_packets_total{{kind="{kind}"}}'] > 10
        assert seen[f'sft_upstream_loss_ratio_count{{kind="{kind}"}}'] >= 1
    people = people_of_three(server)
    assert len(people) == 3
    for one in people:
        assert "audio" in one["sends"]
        assert {"high", "low", "video"} & set(one["sends"])
        assert sum(one["receives"].values()) == 4, "two voices, two pictures"
        assert one["round_trip_seconds"] < 1


def test_mute_marks_come_and_go_and_take_the_tone_with_them(party: Party) -> None:
    party.pages[BOB].click("#mute")
    for page in party.others(BOB):
        page.wait(lambda state: participant(state, BOB)["muted"] and not hears(state, BOB))
        page.wait_until("document.querySelectorAll('.tile.is-muted').length === 1")
    party.pages[BOB].click("#mute")
    for page in party.others(BOB):
        page.wait(lambda state: not participant(state, BOB)["muted"] and hears(state, BOB))


def test_one_leaves_and_returns(party: Party) -> None:
    cid = party.pages[CID]
    cid.click("#leave")
    for page in party.others(CID):
        page.wait(lambda state: len(state["participants"]) == 1, 2)
    cid.wait_for_end("You have left the call")
    cid.click("#again")
    party.wait_until_all_find_all()


def test_a_camera_turned_on_in_the_call_is_seen_and_nobody_is_silent_meanwhile(party: Party) -> None:
    party.forget(CID)
    cid = party.join(CID, camera=0)
    for page in party.others(CID):
        page.wait(lambda state: hears(state, CID) and not participant(state, CID)["video"])
    before = cid.state()["kid"]

    ann = party.pages[ANN]
    ann.wait(lambda state: hears(state, BOB))
    watch = Watch(ann)
    cid.click("#camera")
    ann.wait(lambda state: sees(state, CID))
    of_bob = max(watch.received("audio"), key=lambda audio: audio["packetsReceived"])
    concealed = of_bob.share("concealedSamples", "totalSamplesReceived")
    print(
        f"{of_bob['packetsReceived']:.0f} packets of Bob in {watch.seconds:.1f} s, {concealed:.1%} concealed"
    )
    assert of_bob["packetsLost"] == 0
    assert concealed < 0.5
    ann.wait(lambda state: hears(state, BOB))
    assert cid.state()["kid"] != before, "every connection has a KID of its own"
    party.wait_until_all_find_all()


def test_no_kid_and_counter_are_used_twice_over_reloads_and_new_connections(party: Party) -> None:
    ann, bob = party.pages[ANN], party.pages[BOB]
    used = bob.frame_ids()
    bob.reload()
    party.forget(CID)
    cid = party.join(CID, camera=0)
    ann.wait(lambda state: hears(state, CID))
    cid.click("#camera")
    party.wait_until_all_find_all()
    used += bob.frame_ids()
    bob.reload()
    party.wait_until_all_find_all()
    ann.wait(lambda state: state["counters"]["encrypted"] > 500)
    for page in (ann, bob, cid):
        used += page.frame_ids()
    assert [pair for pair, times in Counter(used).items() if times > 1] == []
    assert len({kid for kid, _ in used}) >= 6  # Ann 1, Bob 3, Cid 2
    assert len(used) > 500


def test_a_page_that_was_killed_is_gone_for_the_others_within_20_seconds(party: Party) -> None:
    party.pages[CID].kill()
    start = time.monotonic()
    for page in party.others(CID):
        page.wait(lambda state: len(state["participants"]) == 1, start + 20 - time.monotonic())
    party.forget(CID)
    party.wait_until_all_find_all(5)
