"""The gateway between HTTP and workers, with workers that answer by a script."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
import trio

from sft import hookimpl
from sft.calls.requests import Accepted, Answer, Ask, Connect, Offered, Refusal, Refused, Reply, Request
from sft.config import Config
from sft.config.tables import LimitsConfig, ServerConfig
from sft.errors import LocalError
from sft.model import JoinRecord, ParticipantId, WorkerLoad
from sft.plugin import AuthRequest, DrainState, PlacementRequest, Verdict
from sft.plugin.manager import PluginManager
from sft.server.gateway import OUTCOMES, Gateway
from sft.signalling.messages import Status

CALL = "f84706786fe0230de2d176c6aa9e4df1"


class ScriptedWorker:
    """Answers CONFCONN and SDP answers with what the test wants; remembers what it was asked."""

    def __init__(self, index: int = 0, load: WorkerLoad | None = None) -> None:
        self.index = index
        self.replies: list[Reply] = []
        self.asked: list[Request] = []
        self._load = load or WorkerLoad(worker=index, free_ports=10)

    async def handle(self, request: Request) -> Reply:
        await trio.lowlevel.checkpoint()
        if isinstance(request, Ask):
            return self._load
        self.asked.append(request)
        if self.replies:
            return self.replies.pop(0)
        return Offered("v=0", update=False, with_url=True) if isinstance(request, Connect) else Accepted()


def message(type: str, **keys: Any) -> bytes:
    envelope = {"version": "3.0", "sessid": CALL, "src_userid": "ann", "src_clientid": "_", "resp": False}
    return json.dumps({**envelope, "type": type, **keys}).encode()


def make_gateway(*workers: ScriptedWorker, config: Config | None = None, plugin: object = None) -> Gateway:
    config = config or Config(server=ServerConfig(url="https://sft.example"))
    manager = PluginManager.load(config, {"test": plugin} if plugin is not None else None)
    MADE.append(Gateway(manager.configure(config), manager, workers))
    return MADE[-1]


MADE: list[Gateway] = []
"""In this test."""


@pytest.fixture(autouse=True)
def _outcomes_are_counted_from_zero_on() -> Iterator[None]:
    yield
    for gateway in MADE:
        assert gateway.outcomes.keys() == set(OUTCOMES)
    MADE.clear()


@pytest.fixture
def worker() -> ScriptedWorker:
    return ScriptedWorker()


async def test_a_join_is_offered_as_setup_with_our_url(worker: ScriptedWorker) -> None:
    response = await make_gateway(worker).post(CALL, message("CONFCONN"), "192.0.2.1")
    reply = json.loads(response.body)
    assert (response.status, response.json) == (200, True)
    assert (reply["type"], reply["resp"], reply["sessid"]) == ("SETUP", False, CALL)
    assert (reply["src_userid"], reply["url"], reply["sdp"]) == ("sft", "https://sft.example", "v=0")


@pytest.mark.parametrize(("with_url", "url"), [(True, "https://sft.example"), (False, None)])
async def test_a_reconnect_is_offered_as_update(
    worker: ScriptedWorker, with_url: bool, url: str | None
) -> None:
    worker.replies = [Offered("v=0", update=True, with_url=with_url)]
    reply = json.loads((await make_gateway(worker).post(CALL, message("CONFCONN", update=True), "")).body)
    assert (reply["type"], reply.get("url")) == ("UPDATE", url)


async def test_what_the_client_can_do_is_passed_on(worker: ScriptedWorker) -> None:
    body = message("CONFCONN", toolver="10.5.8", selective_audio=True, selective_video=True, vstreams=9)
    await make_gateway(worker).post(CALL, body, "192.0.2.1")
    [request] = worker.asked
    assert isinstance(request, Connect)
    assert (request.simulcast, request.audio_slots, request.video_slots) == (True, True, 9)
    assert request.address == "192.0.2.1"


async def test_an_answer_is_acknowledged_at_once(worker: ScriptedWorker) -> None:
    gateway = make_gateway(worker)
    await gateway.post(CALL, message("CONFCONN"), "")
    response = await gateway.post(CALL, message("SETUP", resp=True, sdp="v=0", props={}), "")
    reply = json.loads(response.body)
    assert (reply["type"], reply["resp"], reply["status"]) == ("CONFCONN", True, 0)
    assert isinstance(worker.asked[1], Answer)


async def test_an_answer_for_an_unknown_call_is_a_bad_request(worker: ScriptedWorker) -> None:
    response = await make_gateway(worker).post(CALL, message("SETUP", resp=True, sdp="v=0", props={}), "")
    assert response.status == 400
    assert worker.asked == []


@pytest.mark.parametrize(
    "reason", [Refusal.CALL_FULL, Refusal.WORKER_FULL, Refusal.NO_PORT, Refusal.TRANSPORT_FAILED]
)
async def test_limits_are_told_by_status_4(worker: ScriptedWorker, reason: Refusal) -> None:
    worker.replies = [Refused(reason)]
    gateway = make_gateway(worker)
    response = await gateway.post(CALL, message("CONFCONN"), "")
    assert response.status == 200
    assert json.loads(response.body)["status"] == Status.LIMIT_REACHED
    assert gateway.outcomes[reason.value] == 1


@pytest.mark.parametrize(
    ("reason", "status"),
    [(Refusal.DRAINING, 503), (Refusal.TOO_MANY_PENDING, 429), (Refusal.UNKNOWN_PARTICIPANT, 429)],
)
async def test_other_refusals_are_told_by_http(worker: ScriptedWorker, reason: Refusal, status: int) -> None:
    worker.replies = [Refused(reason)]
    response = await make_gateway(worker).post(CALL, message("CONFCONN"), "")
    assert response.status == status
    assert response.retry_after is not None


async def test_a_refused_first_join_leaves_the_call_unplaced(worker: ScriptedWorker) -> None:
    worker.replies = [Refused(Refusal.NO_PORT)]
    gateway = make_gateway(worker)
    await gateway.post(CALL, message("CONFCONN"), "")
    assert gateway.idle


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        message("PING"),
        message("SETUP", sdp="v=0", props={}),
        message("CONFCONN", src_userid=""),
    ],
)
async def test_anything_else_is_a_bad_request_and_counted(worker: ScriptedWorker, body: bytes) -> None:
    gateway = make_gateway(worker)
    assert (await gateway.post(CALL, body, "")).status == 400
    assert sum(gateway.outcomes.values()) == 1
    assert worker.asked == []


async def test_an_overlong_call_id_is_a_bad_request(worker: ScriptedWorker) -> None:
    assert (await make_gateway(worker).post("x" * 128, message("CONFCONN"), "")).status == 400


async def test_a_blocked_client_version_is_told_by_status_1(worker: ScriptedWorker) -> None:
    gateway = make_gateway(worker, config=Config(limits=LimitsConfig(blocked_versions="<6.2.9")))
    reply = json.loads((await gateway.post(CALL, message("CONFCONN", toolver="6.2.8"), "")).body)
    assert reply["status"] == Status.CLIENT_BLOCKED
    assert worker.asked == []


async def test_joins_beyond_the_rate_of_an_address_are_refused(worker: ScriptedWorker) -> None:
    limits = LimitsConfig(joins_per_address_per_second=1, joins_burst=2)
    gateway = make_gateway(worker, config=Config(limits=limits))
    statuses = [(await gateway.post(CALL, message("CONFCONN"), "192.0.2.1")).status for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert (await gateway.post(CALL, message("CONFCONN"), "192.0.2.2")).status == 200


class Bouncer:
    """Refuses to start calls."""

    def __init__(self) -> None:
        self.asked: list[AuthRequest] = []

    @hookimpl
    def sft_authorize(self, request: AuthRequest) -> Verdict | None:
        self.asked.append(request)
        return Verdict.refuse(Status.MAY_NOT_START, "guest") if request.starting else None


async def test_authorization_knows_who_starts_a_call_and_who_joins_one(worker: ScriptedWorker) -> None:
    bouncer = Bouncer()
    gateway = make_gateway(worker, plugin=bouncer)
    reply = json.loads((await gateway.post(CALL, message("CONFCONN", username="u", credential="c"), "")).body)
    assert reply["status"] == Status.MAY_NOT_START
    assert worker.asked == []
    gateway._placed[CALL] = 0
    assert json.loads((await gateway.post(CALL, message("CONFCONN"), "")).body)["type"] == "SETUP"
    assert [request.starting for request in bouncer.asked] == [True, False]
    assert (bouncer.asked[0].username, bouncer.asked[0].credential) == ("u", "c")


def two_workers() -> tuple[ScriptedWorker, ScriptedWorker]:
    busy = WorkerLoad(worker=0, participants=90, free_ports=10)
    idle = WorkerLoad(worker=1, participants=1, free_ports=99)
    return ScriptedWorker(0, busy), ScriptedWorker(1, idle)


async def test_a_new_call_goes_to_the_least_loaded_worker_and_stays_there() -> None:
    busy, idle = two_workers()
    gateway = make_gateway(busy, idle)
    for user in ("ann", "bob"):
        await gateway.post(CALL, message("CONFCONN", src_userid=user), "")
    assert (len(busy.asked), len(idle.asked)) == (0, 2)


async def test_a_plugin_may_place_calls() -> None:
    class ToTheFirst:
        @hookimpl
        def sft_place_call(self, request: PlacementRequest, workers: list[WorkerLoad]) -> int:
            return workers[0].worker

    busy, idle = two_workers()
    await make_gateway(busy, idle, plugin=ToTheFirst()).post(CALL, message("CONFCONN"), "")
    assert (len(busy.asked), len(idle.asked)) == (1, 0)


async def test_two_first_participants_at_the_same_moment_meet_on_one_worker() -> None:
    busy, idle = two_workers()
    gateway = make_gateway(busy, idle)
    async with trio.open_nursery() as nursery:
        for user in ("ann", "bob"):
            nursery.start_soon(gateway.post, CALL, message("CONFCONN", src_userid=user), "")
    assert sorted((len(busy.asked), len(idle.asked))) == [0, 2]


async def test_a_draining_instance_takes_no_new_call_but_joins_into_running_ones(
    worker: ScriptedWorker,
) -> None:
    gateway = make_gateway(worker)
    await gateway.post(CALL, message("CONFCONN"), "")
    await gateway.drain()
    worker._load = WorkerLoad(worker=0, draining=True)
    assert (await gateway.post(CALL, message("CONFCONN", src_userid="bob"), "")).status == 200
    assert (await gateway.post("another", message("CONFCONN"), "")).status == 503


async def test_a_worker_that_comes_late_gets_no_new_call_of_a_draining_instance(
    worker: ScriptedWorker,
) -> None:
    gateway = make_gateway()
    await gateway.drain()
    gateway.add_worker(worker)
    assert (await gateway.post(CALL, message("CONFCONN"), "")).status == 503
    assert worker.asked == []


async def test_a_call_that_nobody_got_into_does_not_keep_a_draining_instance(worker: ScriptedWorker) -> None:
    gateway = make_gateway(worker)
    idle: list[None] = []
    gateway.on_idle = lambda: idle.append(None)
    worker.replies = [Refused(Refusal.DRAINING)]
    await gateway.post(CALL, message("CONFCONN"), "")
    assert gateway.idle
    assert len(idle) == 1


async def test_a_call_stays_where_it_started_though_somebody_else_was_refused_there(
    worker: ScriptedWorker,
) -> None:
    gateway = make_gateway(worker)
    worker.replies = [Refused(Refusal.TOO_MANY_PENDING)]
    await gateway.post(CALL, message("CONFCONN"), "")
    gateway.call_started(0, CALL)
    assert (await gateway.post(CALL, message("SETUP", resp=True, sdp="v=0", props={}), "")).status == 200


async def test_an_ended_call_is_placed_anew_and_the_last_one_makes_the_gateway_idle(
    worker: ScriptedWorker,
) -> None:
    gateway = make_gateway(worker)
    idle: list[None] = []
    gateway.on_idle = lambda: idle.append(None)
    await gateway.post(CALL, message("CONFCONN"), "")
    gateway.call_started(0, CALL)
    assert not gateway.idle
    gateway.call_ended(CALL)
    assert gateway.idle
    assert len(idle) == 1


async def test_a_worker_that_went_away_is_told_by_503(
    worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(request: Request) -> Reply:
        raise LocalError("the worker went away")

    gateway = make_gateway(worker)
    idle: list[None] = []
    gateway.on_idle = lambda: idle.append(None)
    await gateway.post(CALL, message("CONFCONN"), "")
    monkeypatch.setattr(worker, "handle", gone)
    assert (await gateway.post(CALL, message("CONFCONN"), "")).status == 503
    assert gateway.idle
    assert len(idle) == 1, "the call has lost its place once"
    assert gateway.snapshot().joins_refused["worker_failed"] == 1


async def test_the_snapshot_tells_why_joins_got_no_offer_and_how_long_answers_took(
    worker: ScriptedWorker,
) -> None:
    gateway = make_gateway(worker)
    assert set(gateway.snapshot().joins_refused.values()) == {0}, "a rate needs a zero to begin from"
    worker.replies = [Refused(Refusal.NO_PORT)]
    await gateway.post(CALL, message("CONFCONN"), "")
    await gateway.post(CALL, message("CONFCONN"), "")
    await gateway.post(CALL, message("SETUP", resp=True, sdp="v=0", props={}), "")
    await gateway.post(CALL, b"{", "")
    assert gateway.ice(CALL, message("CONFCONN"), "").status == 200
    snapshot = gateway.snapshot()
    assert {word: count for word, count in snapshot.joins_refused.items() if count} == {"no_port": 1}
    assert {word for word, count in snapshot.outcomes.items() if count == 1} == {
        "no_port",
        "offered",
        "answered",
        "bad_request",
        "ice_servers",
    }
    assert sum(snapshot.outcomes.values()) == sum(snapshot.request_seconds.counts) == 5
    assert snapshot.state is DrainState.RUNNING


class Listener:
    """A plugin that hears of joins."""

    def __init__(self) -> None:
        self.joins: list[JoinRecord] = []

    @hookimpl
    def sft_join_ended(self, join: JoinRecord) -> None:
        self.joins.append(join)


async def test_of_a_join_without_an_offer_the_gateway_tells(worker: ScriptedWorker) -> None:
    listener, began = Listener(), time.time()
    gateway = make_gateway(worker, plugin=listener)
    worker.replies = [Refused(Refusal.NO_PORT)]
    await gateway.post(CALL, message("CONFCONN", update=True), "", "the client's")
    (join,) = listener.joins
    assert (join.call, join.participant, join.outcome) == (CALL, ParticipantId("ann", "_"), "no_port")
    assert (join.update, join.worker, join.phases, join.traceparent) == (True, None, (), "the client's")
    assert began <= join.began <= join.ended <= time.time()


async def test_of_a_join_with_an_offer_its_worker_tells(worker: ScriptedWorker) -> None:
    listener = Listener()
    gateway = make_gateway(worker, plugin=listener)
    await gateway.post(CALL, message("CONFCONN"), "", "the client's")
    await gateway.post(CALL, message("SETUP", resp=True, sdp="v=0", props={}), "", "another")
    assert listener.joins == []
    [request, _] = worker.asked
    assert isinstance(request, Connect)
    assert request.traceparent == "the client's"
    assert 0 <= time.time() - request.received < 10
    join = JoinRecord(
        call=CALL, participant=ParticipantId("ann", "_"), outcome="established", began=1, ended=2
    )
    gateway.join_ended(3, join)
    assert listener.joins == [attrs.evolve(join, worker=3)]


async def test_an_overlong_header_is_not_passed_on(worker: ScriptedWorker) -> None:
    await make_gateway(worker).post(CALL, message("CONFCONN"), "", "0" * 129)
    [request] = worker.asked
    assert isinstance(request, Connect)
    assert request.traceparent == ""
