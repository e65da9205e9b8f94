"""What the operator's live view is told, and who is not told it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import cast

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from sft.config import Config, PluginsConfig
from sft.plugin import DrainState, GatewayServices, Snapshot
from sft.plugin.manager import PluginManager
from sft.webclient.live import HEADERS, SHARED, Json, LiveState, routes, sft_http_routes
from support.asgi import request
from support.live_numbers import LiveNumbers, call_snapshot, participant, snapshot


def one_call(people: int = 3, seconds: float = 60) -> Sequence[Snapshot]:
    everybody = [participant("tea", number, seconds) for number in range(people)]
    return [snapshot(0, seconds, [call_snapshot("tea", everybody, seconds)])]


@pytest.fixture
def numbers() -> LiveNumbers:
    numbers = LiveNumbers()
    numbers.newest = one_call()
    return numbers


@pytest.fixture
def live(numbers: LiveNumbers) -> LiveState:
    return LiveState(cast(GatewayServices, numbers), 1.0)


def read(live: LiveState) -> Json:
    state: Json = json.loads(live.encoded())
    return state


def test_hashes_are_shortened_and_addresses_left_out(numbers: LiveNumbers, live: LiveState) -> None:
    text = live.encoded().decode()
    [call] = numbers.newest[0].calls
    for one in call.participants:
        assert one.user[:8] in text
        for private in (one.user, one.user[:9], one.client, one.client[:5], one.remote):
            assert private not in text
    assert call.call[:8] in text
    assert call.call[:9] not in text


def test_rows_keep_their_keys_and_no_two_have_the_same(numbers: LiveNumbers, live: LiveState) -> None:
    twins = [
        participant("tea", number, 60, user="0" * 31 + str(number), client="0000aaaa") for number in range(2)
    ]
    keys = []
    for seconds in (60, 61):
        numbers.newest = [snapshot(0, seconds, [call_snapshot("tea", twins, seconds)])]
        [call] = read(live)["calls"]
        keys.append([call["key"], *(one["key"] for one in call["participants"])])
    assert keys[0] == keys[1]
    assert len(set(keys[0])) == 3


def test_keys_tell_nothing_of_what_they_stand_for() -> None:
    numbers = LiveNumbers()
    numbers.newest = one_call()
    first, second = (read(LiveState(cast(GatewayServices, numbers), 1.0)) for _ in range(2))
    assert first["calls"][0]["key"] != second["calls"][0]["key"]


def test_everything_the_page_draws_is_told(numbers: LiveNumbers, live: LiveState) -> None:
    person = participant("tea", 1, 60, nacks_sent=4, nacks_received=5, loss_sent=0.12345)
    numbers.workers = 2
    numbers.state = DrainState.DRAINING
    numbers.newest = [snapshot(1, 60, [call_snapshot("tea", [person], 60)])]
    state = read(live)
    assert (state["state"], state["expected"], state["period"]) == ("draining", 2, 1.0)
    [worker] = state["workers"]
    assert worker["worker"] == 1
    assert worker["ports"]["udp"] == {"free": 999, "total": 1000}
    assert (worker["received"], worker["sent"]) == (person.bytes_received, person.bytes_sent)
    [call] = state["calls"]
    assert (call["worker"], call["age"]) == (1, 60)
    [one] = call["participants"]
    assert (one["transport"], one["path"], one["remote"]) == ("udp", "host", person.remote_path)
    assert one["up"]["streams"] == {"audio": 1, "high": 1, "low": 1}
    assert one["down"]["streams"] == {"audio": 4, "high": 1, "low": 8}
    assert (one["up"]["nacks"], one["down"]["nacks"], one["down"]["loss"]) == (4, 5, 0.1235)


def test_the_state_is_encoded_once_per_snapshot(numbers: LiveNumbers, live: LiveState) -> None:
    first = live.encoded()
    assert live.encoded() is first
    numbers.newest = one_call(seconds=61)
    assert live.encoded() != first


def test_two_hundred_participants_are_a_small_answer(numbers: LiveNumbers, live: LiveState) -> None:
    numbers.newest = one_call(200)
    begin = time.perf_counter()
    encoded = live.encoded()
    print(f"200 participants: {len(encoded)} bytes in {(time.perf_counter() - begin) * 1000:.1f} ms")
    assert len(encoded) < 200 * 500


async def test_the_page_its_files_and_its_numbers_are_served_with_the_policy(live: LiveState) -> None:
    app = Starlette(routes=routes(live))
    paths = {route.path for route in app.routes if isinstance(route, Route)} - {"/"}
    assert paths >= {"/live", "/live/state", "/live/live.js", *(f"/live/{name}" for name in SHARED)}
    for path in paths:
        status, headers, _ = await request(app, path)
        assert status == 200, path
        for name in HEADERS.keys() - {"cache-control"}:
            assert headers[name] == HEADERS[name]
    assert (await request(app, "/live/state"))[1]["cache-control"] == "no-store"
    status, headers, _ = await request(app, "/")
    assert (status, headers["location"]) == (307, "live")


def test_it_is_built_in_and_on_the_operators_listener_alone(numbers: LiveNumbers) -> None:
    config = Config(plugins=PluginsConfig(allow=()))
    manager = PluginManager.load(config)
    assert "live" in {one.name for one in manager.describe() if one.origin == "built-in"}
    services = cast(GatewayServices, numbers)
    [found] = sft_http_routes(config=Config(), services=services)
    assert found.listener == "operator"
    public = manager.http_routes(config, services).public
    assert not [route for route in public if isinstance(route, Route) and "/live" in route.path]
