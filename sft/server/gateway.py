"""The gateway: what a client asks over HTTP becomes a request to the worker that hosts the call.

The way of a join begins here: :meth:`Gateway.post` reads the message, checks version and
credentials, places a new call, and turns the worker's reply into the message the client expects
(protocol sections 1.3 to 1.7).
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import attrs
import structlog
import trio

from sft.calls.requests import (
    Accepted,
    Answer,
    Ask,
    Connect,
    Drain,
    Offered,
    Refusal,
    Refused,
    Reply,
    Request,
)
from sft.config import Config
from sft.errors import BadPacket, LocalError
from sft.histogram import Histogram
from sft.model import Drop, JoinRecord, WorkerLoad
from sft.plugin.manager import PluginManager
from sft.plugin.values import AuthRequest, DrainState, InstanceSnapshot, PlacementRequest, Snapshot
from sft.server.ice_servers import IceServers
from sft.server.limits import JoinRate, network_of
from sft.signalling.messages import ConfConn, Message, Setup, Status, Update, decode_untrusted, encode
from sft.signalling.replies import confconn_ack, confconn_refusal, setup_offer, update_offer
from sft.signalling.versions import VersionBlockList, offers_simulcast

T = TypeVar("T")


class WorkerHandle(Protocol):
    """A worker as the gateway sees it, here or behind a pipe."""

    @property
    def index(self) -> int: ...
    async def handle(self, request: Request) -> Reply: ...
    async def snapshot(self) -> Snapshot: ...


@attrs.frozen
class Response:
    """An HTTP reply: the word it is counted under, status, body, and what kind of body."""

    outcome: str
    status: int
    body: str
    json: bool = False
    retry_after: int | None = None


MAX_CALL_ID = 127

MAX_TRACEPARENT = 128
"""Characters; one of version 00 has 55, later ones may have more (W3C Trace Context section 3.2)."""

JOINS_REFUSED = (
    "bad_request",
    "version_blocked",
    "not_authorized",
    "too_many_joins",
    "draining",
    "worker_failed",
    *(reason.value for reason in Refusal if reason not in {Refusal.UNKNOWN_PARTICIPANT, Refusal.BAD_ANSWER}),
)
"""How a CONFCONN may end without an offer; counted from zero on, so that rates see the first."""

OUTCOMES = (
    "offered",
    "answered",
    "ice_servers",
    *JOINS_REFUSED,
    *(reason.value for reason in (Refusal.UNKNOWN_PARTICIPANT, Refusal.BAD_ANSWER)),
    "unexpected",
    "body_too_large",
    "body_too_slow",
    "client_gone",
    "connection_failed",
    "internal_error",
)
"""What may become of a request; counted from zero on as well."""

REQUEST_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Seconds."""

ANSWER_SECONDS = 2.0
"""A worker that hangs must not hold up the calls of the others."""

REFUSALS = {
    Refusal.CALL_FULL: Status.LIMIT_REACHED,
    Refusal.WORKER_FULL: Status.LIMIT_REACHED,
    Refusal.NO_PORT: Status.LIMIT_REACHED,
    Refusal.TRANSPORT_FAILED: Status.LIMIT_REACHED,
}
"""Refusals a client can tell its user about; the others are answered by HTTP status."""


class Gateway:
    """One per instance. Knows which worker hosts which call, and nothing else about calls."""

    def __init__(self, config: Config, manager: PluginManager, workers: Sequence[WorkerHandle] = ()) -> None:
        self._config = config
        self._manager = manager
        self._workers = {worker.index: worker for worker in workers}
        self._placed: dict[str, int] = {}
        self._live: set[str] = set()
        self._rate = JoinRate(config.limits.joins_per_address_per_second, config.limits.joins_burst)
        self._ice_rate = JoinRate(config.limits.joins_per_address_per_second, config.limits.joins_burst)
        self._ice_servers = IceServers(config)
        self._blocked = VersionBlockList.parse(config.limits.blocked_versions)
        self._log = structlog.get_logger("gateway")
        self._started = trio.current_time()
        self._refused: Counter[str] = Counter(dict.fromkeys(JOINS_REFUSED, 0))
        self._request_seconds = Histogram(REQUEST_BOUNDS)
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        """Of requests."""
        self.on_idle: Callable[[], None] = lambda: None
        self.state = DrainState.RUNNING

    def internal_error(self, error: Exception, path: str) -> None:
        """An answer could not be given."""
        self.outcomes["internal_error"] += 1
        self._log.error("internal_error", path=path[:200], exc_info=error)

    def connection_failed(self) -> None:
        """Of an HTTP client, by an error that nobody expects."""
        self.outcomes["connection_failed"] += 1

    def add_worker(self, worker: WorkerHandle) -> None:
        """It takes requests from now on."""
        self._workers[worker.index] = worker

    def remove_worker(self, index: int) -> None:
        """It is gone, and its calls with it."""
        del self._workers[index]
        for call in [call for call, worker in self._placed.items() if worker == index]:
            self.call_ended(call)

    def call_started(self, worker: int, call: str) -> None:
        """A worker says so: it is there, whatever became of other joins."""
        self._live.add(call)
        self._placed[call] = worker

    def call_ended(self, call: str) -> None:
        """A worker says so."""
        self._live.discard(call)
        self._placed.pop(call, None)
        if not self._placed:
            self.on_idle()

    def join_ended(self, worker: int, join: JoinRecord) -> None:
        """A worker says so."""
        self._manager.notify("sft_join_ended", join=attrs.evolve(join, worker=worker))

    def _unplace(self, call: str) -> None:
        """Nobody got into it."""
        if call not in self._live:
            self.call_ended(call)

    @property
    def idle(self) -> bool:
        return not self._placed

    def snapshot(self) -> InstanceSnapshot:
        return InstanceSnapshot(
            state=self.state,
            uptime_seconds=trio.current_time() - self._started,
            outcomes=dict(self.outcomes),
            joins_refused=dict(self._refused),
            request_seconds=self._request_seconds.read(),
            faults=self._manager.fault_counts() if self._config.server.workers > 1 else {},
        )

    async def post(self, call: str, body: bytes, address: str, traceparent: str = "") -> Response:
        """Answer ``POST /sft/<call>``; ``traceparent``: its header of that name."""
        begin = trio.current_time()
        return self._counted(await self._post(call, body, address, traceparent), begin)

    def ice(self, call: str, body: bytes, address: str) -> Response:
        """Answer ``POST /ice/<call>``: TURN servers for whoever may join with this CONFCONN."""
        begin = trio.current_time()
        return self._counted(self._ice(call, body, address), begin)

    def _counted(self, response: Response, begin: float) -> Response:
        self._request_seconds.observe(trio.current_time() - begin)
        self.outcomes[response.outcome] += 1
        return response

    async def _post(self, call: str, body: bytes, address: str, traceparent: str) -> Response:
        try:
            if len(call) > MAX_CALL_ID:
                raise BadPacket(Drop.MESSAGE_MALFORMED, "the call's id is too long")
            message = decode_untrusted(body, self._config.limits.body_bytes)
            if isinstance(message, ConfConn):
                return await self._join(call, message, address, traceparent)
            if isinstance(message, Setup | Update) and message.resp:
                return await self._answer(call, message)
            return _reject("unexpected", 400, f"{message.TYPE} is not expected here")
        except BadPacket as bad:
            self._log.info("bad_request", address=address, reason=str(bad))
            return _reject("bad_request", 400, str(bad))
        except LocalError as error:
            return self._worker_failed(call, error)

    def _worker_failed(self, call: str, error: LocalError) -> Response:
        self._log.error("worker_failed", call=call, reason=str(error))
        return _reject("worker_failed", 503, "the worker went away", retry_after=1)

    def _ice(self, call: str, body: bytes, address: str) -> Response:
        try:
            message = decode_untrusted(body, self._config.limits.body_bytes)
            if len(call) > MAX_CALL_ID or not isinstance(message, ConfConn):
                raise BadPacket(Drop.MESSAGE_UNEXPECTED, "only a CONFCONN is expected here")
        except BadPacket as bad:
            return _reject("bad_request", 400, str(bad))
        refusal = self._admit(call, message, address, self._ice_rate)
        if refusal is not None:
            return refusal
        servers = self._ice_servers.as_json(message.src_userid, time.time())
        return Response("ice_servers", 200, servers, json=True)

    async def loads(self) -> list[WorkerLoad]:
        """How each worker is."""
        loads = await _from_each(self._workers, lambda worker: worker.handle(Ask()))
        return [load for load in loads if isinstance(load, WorkerLoad)]

    async def snapshots(self) -> list[Snapshot]:
        """All counters of each worker, now."""
        return await _from_each(self._workers, lambda worker: worker.snapshot())

    async def drain(self) -> None:
        """No new calls from now on; joins into running calls go on (protocol section 1.8)."""
        if self.state is not DrainState.RUNNING:
            return
        self.state = DrainState.DRAINING
        self._manager.notify("sft_draining", state=self.state)
        await _from_each(self._workers, lambda worker: worker.handle(Drain()))

    async def _join(self, call: str, message: ConfConn, address: str, traceparent: str) -> Response:
        """CONFCONN. What gets an offer is told of by its worker when it is over, all else here."""
        began = time.time()
        if len(traceparent) > MAX_TRACEPARENT:
            traceparent = ""
        refusal = self._admit(call, message, address, self._rate)
        try:
            response = refusal or await self._connect(
                message, _connect_request(call, message, address, began, traceparent), address
            )
        except LocalError as error:
            response = self._worker_failed(call, error)
        if response.outcome != "offered":
            self._refused[response.outcome] += 1
            join = JoinRecord(
                call=call,
                participant=message.sender,
                outcome=response.outcome,
                began=began,
                ended=time.time(),
                update=message.update,
                traceparent=traceparent,
            )
            self._manager.notify("sft_join_ended", join=join)
        return response

    async def _connect(self, message: ConfConn, request: Connect, address: str) -> Response:
        """Placement, offer. Whatever goes wrong, a call that nobody got into keeps no place."""
        reply: Reply | None = None
        try:
            worker = await self._place(request.call, message, address)
            if worker is None:
                return _reject("draining", 503, "this server takes no new calls", retry_after=30)
            reply = await worker.handle(request)
        finally:
            if not isinstance(reply, Offered):
                self._unplace(request.call)
        return self._offer_or_refuse(request.call, message, reply)

    def _admit(self, call: str, message: ConfConn, address: str, rate: JoinRate) -> Response | None:
        """Version, rate, credentials; None: welcome."""
        if not message.src_userid or not message.src_clientid:
            return _reject("bad_request", 400, "src_userid and src_clientid are required")
        if self._blocked.is_blocked(message.toolver):
            return _refuse(call, "version_blocked", Status.CLIENT_BLOCKED)
        if not rate.allow(address, trio.current_time()):
            return _reject("too_many_joins", 429, "too many joins from this address", retry_after=1)
        starting = call not in self._placed
        verdict = self._manager.authorize(
            AuthRequest(
                call=call,
                user=message.src_userid,
                client=message.src_clientid,
                username=message.username,
                credential=message.credential,
                starting=starting,
                address=address,
                toolver=message.toolver,
            )
        )
        if not verdict.allowed:
            self._log.info("not_authorized", call=call, address=address, reason=verdict.reason)
            return _refuse(call, "not_authorized", Status(int(verdict.status)))
        return None

    async def _answer(self, call: str, message: Setup | Update) -> Response:
        worker = self._workers.get(self._placed.get(call, -1))
        if worker is None:
            return _reject("unknown_participant", 400, "no such participant here")
        reply = await worker.handle(Answer(call, message.sender, message.sdp))
        if isinstance(reply, Accepted):
            return _say("answered", confconn_ack(call))
        reason = reply.reason if isinstance(reply, Refused) else Refusal.BAD_ANSWER
        return _reject(reason.value, 400, reason.value)

    async def _place(self, call: str, message: ConfConn, address: str) -> WorkerHandle | None:
        """The worker that hosts the call, or shall; None when no worker takes new calls."""
        if call not in self._placed:
            if self.state is not DrainState.RUNNING:
                return None  # a worker that has just been replaced does not know
            loads = [load for load in await self.loads() if not load.draining]
            if not loads:
                return None
            request = PlacementRequest(
                call=call, user=message.src_userid, client=message.src_clientid, address=address
            )
            # Another request of the same call may have placed it while the loads were asked for.
            self._placed.setdefault(call, self._manager.place_call(request, loads))
        worker = self._workers.get(self._placed[call])
        if worker is None:
            raise LocalError("its worker has just died")
        return worker

    def _offer_or_refuse(self, call: str, message: ConfConn, reply: Reply) -> Response:
        match reply:
            case Offered(sdp=sdp, update=True, with_url=with_url):
                url = self._config.server.announced_url if with_url else ""
                return _say("offered", update_offer(call, message.sender, sdp, url))
            case Offered(sdp=sdp):
                return _say("offered", setup_offer(call, sdp, self._config.server.announced_url))
            case Refused(reason=reason) if reason in REFUSALS:
                return _refuse(call, reason.value, REFUSALS[reason])
            case Refused(reason=Refusal.DRAINING):
                return _reject("draining", 503, "this server takes no new calls", retry_after=30)
            case Refused(reason=reason):
                return _reject(reason.value, 429, reason.value, retry_after=5)
            case _:
                raise LocalError(f"a worker answered CONFCONN with {type(reply).__name__}")


def _say(outcome: str, message: Message) -> Response:
    return Response(outcome, 200, encode(message), json=True)


def _refuse(call: str, outcome: str, status: Status) -> Response:
    """A refusal the client shows to its user: HTTP 200 with a CONFCONN that has a status."""
    return _say(outcome, confconn_refusal(call, status))


def _reject(outcome: str, status: int, text: str, retry_after: int | None = None) -> Response:
    return Response(outcome, status, text + "\n", retry_after=retry_after)


async def _from_each(
    workers: Mapping[int, WorkerHandle], ask: Callable[[WorkerHandle], Awaitable[T]]
) -> list[T]:
    """The answers of those that live, asked at once and not waited for longer than ANSWER_SECONDS."""
    answers: dict[int, T] = {}

    async def ask_one(worker: WorkerHandle) -> None:
        with contextlib.suppress(LocalError), trio.move_on_after(ANSWER_SECONDS):
            answers[worker.index] = await ask(worker)

    async with trio.open_nursery() as nursery:
        for worker in workers.values():
            nursery.start_soon(ask_one, worker)
    return [answers[index] for index in sorted(answers)]


def _connect_request(
    call: str, message: ConfConn, address: str, received: float, traceparent: str
) -> Connect:
    return Connect(
        call=call,
        participant=message.sender,
        address=network_of(address),
        update=message.update,
        simulcast=offers_simulcast(message.toolver),
        audio_slots=message.selective_audio,
        video_slots=message.vstreams if message.selective_video else 0,
        ice_servers=message.ice_servers,
        received=received,
        traceparent=traceparent,
    )
