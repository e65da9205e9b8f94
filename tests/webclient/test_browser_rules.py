"""The client's rules that need neither media nor server, run in Chromium."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.chromium import Chromium, Page

pytestmark = pytest.mark.browser


@pytest.fixture
async def page(browser: Chromium, site: str) -> Page:
    return await browser.open_page(f"{site}/")


async def run(page: Page, module: str, body: str) -> Any:
    return await page.evaluate(f"(async () => {{ const m = await import('/static/{module}'); {body} }})()")


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        ("", "ab", "ab"),
        ("abc", "cba", "abc"),  # who stays, stays in place
        ("abc", "acd", "adc"),  # a newcomer takes the free place
        ("abc", "c", "c"),  # no holes: the last one moves
        ("abcd", "bd", "db"),
        ("ab", "", ""),
        ("ab", "cd", "cd"),
    ],
)
async def test_videos_keep_their_slots_and_leave_no_holes(
    page: Page, current: str, wanted: str, expected: str
) -> None:
    body = f"""const list = (text) => [...text].map((userid) => ({{ userid, quality: 1 }}));
        const next = m.arrangeStreams(list('{current}'), list('{wanted}'));
        return next.map(({{ userid }}) => userid).join('');"""
    assert await run(page, "streams.js", body) == expected


async def test_the_server_is_told_of_videos_only_when_something_changes_and_never_of_none(page: Page) -> None:
    told = await run(
        page,
        "streams.js",
        """const requests = new m.VideoRequests();
        const connection = { videoSlots: [1, 2] };
        const roster = { get: (userid) => userid !== 'gone' };
        const next = (...wanted) => {
          requests.wanted = wanted.map((userid) => ({ userid, quality: 2 }));
          return requests.next(connection, roster)?.map(({ userid }) => userid).join('') ?? null;
        };
        return [next('a'), next('a'), next('gone', 'a', 'b', 'c'), next(), next('b', 'a')];""",
    )
    assert told == ["a", None, "ab", None, None]


async def test_an_envelope_counts_only_if_it_is_newer_and_its_kid_nobody_elses(page: Page) -> None:
    found = await run(
        page,
        "roster.js",
        """const roster = new m.Roster('me');
        const entry = (userid) => ({ userid, clientid: '_', ssrc_audio: '1', ssrc_video: '2' });
        const content = (name, kid, connection) => ({ name, kid, connection });
        roster.setEnvelope('early', content('Early', 5n, 1));
        roster.replace(['me', 'a', 'b', 'early'].map(entry));
        const results = [
          roster.setEnvelope('a', null),
          roster.get('a').sealed,
          roster.setEnvelope('a', content('Ann', 1n, 2)),
          roster.setEnvelope('a', null),
          roster.setEnvelope('a', content('Old', 9n, 1)),
          roster.setEnvelope('b', content('Thief', 1n, 1)),
          roster.setEnvelope('me', content('Me', 7n, 1)),
          roster.setEnvelope('a', content('Ann', 3n, 3)),
        ];
        return [results, roster.get('a').name, Number(roster.get('a').kid), roster.get('b').sealed,
          roster.get('early').name, roster.others.length];""",
    )
    results = [True, "failed", True, False, False, False, False, True]
    assert found == [results, "Ann", 3, "pending", "Early", 3]


async def test_props_that_come_before_their_participant_are_kept_for_it(page: Page) -> None:
    found = await run(
        page,
        "roster.js",
        """const roster = new m.Roster('me');
        roster.setProps('a', { muted: 'true', screensend: 'true', videosend: 'false' });
        const entry = { userid: 'a', clientid: '_', ssrc_audio: '7', ssrc_video: '8' };
        roster.replace([entry, { wrong: 1 }, null]);
        const { muted, screen, video, ssrcAudio } = roster.get('a');
        return [muted, screen, video, ssrcAudio, roster.all.length];""",
    )
    assert found == [True, True, True, 7, 1]


async def test_pauses_between_attempts_grow_and_can_be_cut_short(page: Page) -> None:
    waits = await run(
        page,
        "backoff.js",
        """const asked = [];
        const real = globalThis.setTimeout;
        globalThis.setTimeout = (callback, wait) => (asked.push(wait), real(callback, 0));
        const backoff = new m.Backoff([0, 1000, 2000]);
        for (let n = 0; n < 4; n++) await backoff.pause();
        backoff.reset();
        globalThis.setTimeout = (callback, wait) => asked.push(wait);
        const paused = backoff.pause();
        backoff.wake();
        await paused;
        globalThis.setTimeout = real;
        return asked;""",
    )
    assert waits == [0, 1000, 2000, 2000, 0]


async def test_a_server_that_does_not_answer_pings_is_noticed_once(page: Page) -> None:
    counts = await run(
        page,
        "keep-alive.js",
        """let tick;
        const real = globalThis.setInterval;
        globalThis.setInterval = (callback) => { tick = callback; return 1; };
        let pings = 0;
        let silent = 0;
        const alive = new m.KeepAlive();
        alive.start(() => pings++, () => silent++);
        globalThis.setInterval = real;
        const seen = [];
        for (let n = 0; n < 10; n++) { tick(); alive.answered(); }
        seen.push(pings, silent);
        for (let n = 0; n < 5; n++) tick();
        return [...seen, pings, silent];""",
    )
    assert counts == [10, 0, 14, 1]


async def test_new_calls_get_different_names(page: Page) -> None:
    names = await run(page, "address.js", "return Array.from({ length: 50 }, () => m.randomName());")
    assert len(set(names)) > 45


@pytest.mark.parametrize(
    ("named", "readable", "expected"),
    [
        ("http://127.0.0.1:8585", True, ["POST http://localhost:8585/sft/c0"]),  # the same place
        (
            "https://sft-2.example",
            True,
            ["GET https://sft-2.example/sft/url", "POST https://sft-2.example/sft/c0"],
        ),
        (
            "https://sft-2.example",
            False,
            ["GET https://sft-2.example/sft/url", "POST http://localhost:8585/sft/c0"],
        ),
    ],
)
async def test_the_url_a_server_names_is_used_once_it_proved_readable(
    page: Page, named: str, readable: bool, expected: list[str]
) -> None:
    asked = await run(
        page,
        "signalling.js",
        f"""const asked = [];
        const real = globalThis.fetch;
        globalThis.fetch = async (url, {{ method = 'GET' }}) => {{
          asked.push(`${{method}} ${{url}}`);
          if (method === 'GET' && !{str(readable).lower()}) throw new TypeError();
          return new Response('');
        }};
        await new m.Server('http://localhost:8585', 'c0').post({{}}, '{named}');
        globalThis.fetch = real;
        return asked;""",
    )
    assert asked == expected


async def test_media_is_held_back_by_leaps_and_let_go_slowly(page: Page) -> None:
    targets = await run(
        page,
        "playout.js",
        """const targets = [];
        let target = 0;
        const look = (calm) => targets.push(Math.round((target = m.nextTarget(target, calm))));
        for (let late = 0; late < 8; late++) look(0);
        for (let calm = 1; calm <= 300; calm++) look(calm);
        return targets;""",
    )
    assert targets[:8] == [100, 160, 240, 360, 540, 700, 700, 700]
    assert targets[8:37] == [700] * 29, "after the last time it stays for a while"
    assert targets[37:40] == [693, 686, 679]
    assert 150 < sum(target > 0 for target in targets[37:]) < 220
    assert targets[-1] == 0, "at last the browser decides alone again"
    assert min(target for target in targets if target) >= 100


@pytest.mark.parametrize(
    ("kind", "changes", "late"),
    [
        ("audio", {"packetsDiscarded": 1}, True),
        ("audio", {"packetsLost": 5, "concealedSamples": 9600}, False),  # it never came
        ("video", {"freezeCount": 1, "nackCount": 3}, True),
        ("video", {"freezeCount": 1}, False),  # the sender paused
        ("video", {"nackCount": 3}, False),  # repaired in time
    ],
)
async def test_only_what_came_too_late_is_a_reason_to_wait(
    page: Page, kind: str, changes: dict[str, int], late: bool
) -> None:
    before = {"kind": kind, "packetsDiscarded": 4, "freezeCount": 2, "nackCount": 7}
    now = before | {key: before.get(key, 0) + more for key, more in changes.items()}
    assert (
        await run(page, "playout.js", f"return m.wasLate({json.dumps(before)}, {json.dumps(now)});") == late
    )


async def test_a_picture_that_stands_still_is_said_to_be_paused(page: Page) -> None:
    notes = await run(
        page,
        "tiles.js",
        """const shown = () => [...document.querySelectorAll('.paused')].map((note) => !note.hidden);
        const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
        const canvas = Object.assign(document.createElement('canvas'), { width: 64, height: 36 });
        const paint = canvas.getContext('2d');
        const [track] = canvas.captureStream(0).getVideoTracks();
        let shade = 0;
        const move = async () => {
          paint.fillStyle = `rgb(${shade++ % 256} 0 0)`;
          paint.fillRect(0, 0, 64, 36);
          track.requestFrame();
          await sleep(100);
        };
        const tiles = new m.Tiles(() => {});
        const person = { name: 'x', track, note: '', muted: false, self: false, screen: false };
        tiles.draw([{ ...person, userid: 'me', self: true }, { ...person, userid: 'bob' },
          { ...person, userid: 'cid', screen: true }, { ...person, userid: 'eve', track: null }]);
        const video = tiles.videoOf('bob');
        while (video.getVideoPlaybackQuality().totalVideoFrames < 2) await move();
        const results = [];
        tiles.markPaused(1000);
        results.push(shown());
        tiles.markPaused(4900);
        results.push(shown());
        tiles.markPaused(5100);
        results.push(shown());
        const before = video.getVideoPlaybackQuality().totalVideoFrames;
        while (video.getVideoPlaybackQuality().totalVideoFrames === before) await move();
        tiles.markPaused(5200);
        results.push(shown());
        return results;""",
    )
    none = [False] * 4
    assert notes == [none, none, [False, True, False, False], none]
