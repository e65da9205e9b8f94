"""The calls of one worker: takes request values, gives reply values."""

from __future__ import annotations

from collections import Counter

from sft.calls.call import Call
from sft.calls.context import Context
from sft.calls.requests import Accepted, Answer, Connect, Drain, Refusal, Refused, Reply
from sft.model import Ending


class Calls:
    """All calls of a worker, and the limits that span calls."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._calls: dict[str, Call] = {}
        self.draining = False
        self.refusals: Counter[Refusal] = Counter()
        self.participants_total = 0
        self.calls_total = 0

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def calls(self) -> dict[str, Call]:
        return self._calls

    @property
    def participants(self) -> int:
        """Everybody, joins under way included."""
        return sum(len(call.participants) for call in self._calls.values())

    def handle(self, request: Connect | Answer | Drain, now: float) -> Reply:
        """Answer one request; never raises for what a client may send."""
        match request:
            case Connect():
                reply = self._connect(request, now)
            case Answer():
                call = self._calls.get(request.call)
                reply = call.answer(request, now) if call else Refused(Refusal.UNKNOWN_PARTICIPANT)
            case Drain():
                self.draining = True
                reply = Accepted()
        if isinstance(reply, Refused):
            self.refusals[reply.reason] += 1
        return reply

    def abandon(self, now: float) -> None:
        """The server stops. Clients are not told: one that is told at once asks for a new connection,
        while nobody is there to give it one; one that finds out by itself comes back later, to the
        server that took over."""
        for call in list(self._calls.values()):
            call.roster.stop()
            for participant in list(call.participants.values()):
                call.leave(participant, Ending.SERVER_STOPPED, now, silently=True)

    def refusal(self, request: Connect) -> Refusal | None:
        """Why this join would be refused before anything is opened for it."""
        call = self._calls.get(request.call)
        known = call is not None and request.participant in call.participants
        return None if known else self._refuse_newcomer(request, call)

    def _connect(self, request: Connect, now: float) -> Reply:
        refusal = self.refusal(request)
        if refusal is not None:
            return Refused(refusal)
        call = self._calls.get(request.call)
        if call is None:
            call = self._start(request, now)
        before = len(call.participants)
        try:
            return call.connect(request, now)
        finally:
            self.participants_total += len(call.participants) - before
            self._drop_if_empty(call, "refused", now)

    def _refuse_newcomer(self, request: Connect, call: Call | None) -> Refusal | None:
        settings = self._context.settings
        if call is None and self.draining:
            return Refusal.DRAINING
        if self.participants >= settings.participants_per_worker:
            return Refusal.WORKER_FULL
        if self._pending(request.address) >= settings.pending_per_address:
            return Refusal.TOO_MANY_PENDING
        return None

    def _pending(self, address: str) -> int:
        return sum(
            1
            for call in self._calls.values()
            for participant in call.participants.values()
            if participant.pending is not None and participant.pending.request.address == address
        )

    def _start(self, request: Connect, now: float) -> Call:
        call = Call(request.call, self._context, now, started=request.update)
        call.on_empty = lambda now: self._drop_if_empty(call, "empty", now)
        self._calls[call.id] = call
        self.calls_total += 1
        self._context.observer.call_started(call.id)
        return call

    def _drop_if_empty(self, call: Call, reason: str, now: float) -> None:
        if not call.participants and self._calls.get(call.id) is call:
            del self._calls[call.id]
            call.close(now)
            self._context.observer.call_ended(call.id, reason)
