"""A call: its participants, who trusts whom, what flows between them, and how each of them ends.

The way of a join, read top to bottom: :meth:`Call.connect` (CONFCONN) makes an offer,
:meth:`Call.answer` (SETUP) takes the answer, ``_established`` runs when the data channel opens, and
from then on :meth:`Call._message` takes what comes on the channel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from sft.calls.approvals import Approvals
from sft.calls.connection import Connection
from sft.calls.context import Context
from sft.calls.conversation import Conversation
from sft.calls.envelopes import Envelopes
from sft.calls.participant import Participant
from sft.calls.permissions import Permissions
from sft.calls.relay import Relay
from sft.calls.requests import Accepted, Answer, Connect, Offered, Refusal, Refused, Reply
from sft.calls.roster import Roster
from sft.errors import BadPacket, PortsExhausted, TransportError
from sft.forwarding.table import Table
from sft.model import Ending, ParticipantId
from sft.signalling.join import State
from sft.signalling.messages import encode
from sft.signalling.replies import hangup
from sft.webrtc.sctp import MAX_SEND

LIST_BYTES = MAX_SEND - 1024
"""For the entries of CONFPART, which all go into one message."""

_TIMEOUTS = {
    State.OFFERED: Ending.OFFERED_TIMEOUT,
    State.ANSWERED: Ending.ANSWERED_TIMEOUT,
    State.CONNECTED: Ending.CONNECTED_TIMEOUT,
}

SWEEP_SECONDS = 1.0
"""How often deadlines of whole seconds are looked at; one timer per call, none per participant."""


class Call:
    """One conference. ``on_empty`` is called when the last participant is gone."""

    def __init__(self, id: str, context: Context, now: float, *, started: bool) -> None:
        self.id = id
        self.started_at = now
        self._context = context
        self.participants: dict[ParticipantId, Participant] = {}
        self.on_empty: Callable[[float], None] = lambda now: None
        self._tick = context.timers.timer(lambda now: self.table.tick(now))
        adapt = context.settings.adapt_video
        self.table = Table(context.random, context.wall, self._wake, context.media, adapt=adapt)
        self.roster = Roster(id, context, started)
        self.approvals = Approvals()
        self.permissions = Permissions(self.participants, self.approvals, self.table)
        self.envelopes = Envelopes(id, context, self.participants, self.send)
        self.relay = Relay(context.timers, self.send)
        self._conversation = Conversation(self)
        self._sweep = context.timers.call_at(now + SWEEP_SECONDS, self._sweep_deadlines)

    @property
    def context(self) -> Context:
        return self._context

    @property
    def approvals_missing(self) -> int:
        """Ordered pairs of participants in the call that do not both approve each other."""
        present = len(self.roster.members)
        return present * (present - 1) - self.permissions.granted

    def connect(self, request: Connect, now: float) -> Reply:
        """A CONFCONN: a new participant, or a known one that wants a new connection."""
        participant = self.participants.get(request.participant)
        known = participant is not None
        if participant is None:
            participant = Participant(request.participant, self._unique_ssrc())
            if self._is_full_for(participant):
                return Refused(Refusal.CALL_FULL)
        try:
            connection = Connection(self._context, request, participant.ssrc_video, now)
        except PortsExhausted as error:
            return Refused(Refusal.NO_PORT, str(error))
        except TransportError as error:
            return Refused(Refusal.TRANSPORT_FAILED, str(error))
        self.participants[participant.id] = participant
        superseded, participant.pending = participant.pending, connection
        if superseded is not None:
            superseded.abandon(Ending.SUPERSEDED, now)
        connection.on_closed = partial(self._closed, participant, connection)
        connection.on_established = lambda now: self._established(participant, connection, now)
        connection.on_message = lambda text, now: self._conversation.message(participant, text, now)
        connection.on_writable = lambda now: self.roster.writable(participant, now)
        return Offered(connection.offer(now), update=request.update, with_url=not (request.update and known))

    def answer(self, request: Answer, now: float) -> Reply:
        """The client's SDP answer to the newest offer."""
        participant = self.participants.get(request.participant)
        connection = participant.pending if participant is not None else None
        if connection is None:
            return Refused(Refusal.UNKNOWN_PARTICIPANT)
        try:
            connection.answer_untrusted(request.sdp, now)
        except BadPacket as bad:
            connection.count_bad(bad)
            return Refused(Refusal.BAD_ANSWER, str(bad))
        return Accepted()

    def send(self, participant: Participant, text: str, now: float) -> None:
        """Send on the participant's data channel, if it has one open."""
        if participant.connection is not None:
            participant.connection.send(text, now)

    def leave(self, participant: Participant, reason: Ending, now: float, *, silently: bool = False) -> None:
        """End a participant, whatever state it is in."""
        for connection in (participant.pending, participant.connection):
            if connection is not None:
                connection.abandon(reason, now, silently=silently)

    def hang_up(self, participant: Participant, reason: Ending, now: float) -> None:
        """End a participant and tell it so (protocol section 2.11)."""
        self.send(participant, encode(hangup(self.id, participant.id, resp=False)), now)
        self.leave(participant, reason, now)

    def close(self, now: float) -> None:
        """Stop the call's timers; everybody has left."""
        self._sweep.cancel()
        self._tick.cancel()
        self.roster.stop()
        self.relay.stop()

    def _established(self, participant: Participant, connection: Connection, now: float) -> None:
        """A data channel opened: this connection takes over, and everybody is told."""
        old, participant.connection, participant.pending = participant.connection, connection, None
        if old is not None:
            self._detach(participant, old, now)
            old.on_closed = lambda reason, detail, now: None
            old.close(Ending.REPLACED, now)
        participant.last_ping = now
        self.table.add(connection.endpoint, now)
        if not participant.was_in:
            participant.was_in = True
            self._context.observer.participant_joined(self.id, participant.id)
        self.roster.append(participant, now)
        self._roster_changed(now)

    def _closed(
        self, participant: Participant, connection: Connection, reason: Ending, detail: str, now: float
    ) -> None:
        """A connection ended; without another one its participant is gone."""
        was_open = participant.connection is connection
        if was_open:
            participant.connection = None
            participant.path = connection.path_kind
        elif participant.pending is connection:
            participant.pending = None
        if participant.connection is None and participant.pending is None:
            self._gone(participant, reason, detail)
        if was_open:
            self._detach(participant, connection, now)
            self.roster.remove(participant, now)
            self._roster_changed(now)
        if not self.participants:
            self.on_empty(now)

    def _gone(self, participant: Participant, reason: Ending, detail: str) -> None:
        del self.participants[participant.id]
        observer = self._context.observer
        if participant.was_in:
            observer.participant_left(self.id, participant.id, reason, detail, participant.path)
        else:
            who = str(participant.id)
            observer.log("join_failed", call=self.id, participant=who, reason=reason.value, detail=detail)

    def _detach(self, participant: Participant, connection: Connection, now: float) -> None:
        self.approvals.forget(participant.id)
        self.permissions.forget(participant, connection.endpoint)
        self.envelopes.forget(participant)
        self.relay.forget(participant)
        self.table.remove(connection.endpoint, now)

    def _roster_changed(self, now: float) -> None:
        first = self.roster.first
        connection = first.connection if first is not None else None
        self.table.set_first(connection.endpoint if connection is not None else None)
        self.resolve_streams((p for p in self.roster.members if p.wanted), now)
        self.envelopes.ask_again(now)

    def resolve_streams(self, receivers: Iterable[Participant], now: float) -> None:
        """CONFSTREAMS names users; the table wants endpoints. Entry i is video slot i (section 6.5)."""
        endpoints = {
            p.id.user: p.connection.endpoint for p in self.roster.members if p.connection is not None
        }
        for receiver in receivers:
            if receiver.connection is not None:
                wanted = [(endpoints.get(stream.userid), stream.quality) for stream in receiver.wanted]
                self.table.set_streams(receiver.connection.endpoint, wanted, now)

    def _sweep_deadlines(self, now: float) -> None:
        """Joins that take too long, participants that fell silent (protocol section 8.4)."""
        self._sweep.set(now + SWEEP_SECONDS)  # first: the call may end below
        settings = self._context.settings
        for participant in list(self.participants.values()):
            pending, connection = participant.pending, participant.connection
            if pending is not None and pending.join.deadline is not None and pending.join.deadline <= now:
                pending.close(_TIMEOUTS[pending.join.state], now)
            if connection is None or connection.closed:
                continue
            connection.tell_of_join(now)
            if now - connection.last_alive > settings.silence_seconds:
                connection.close(Ending.SILENCE, now)
            elif now - participant.last_ping > settings.ping_seconds:
                self.hang_up(participant, Ending.NO_PING, now)
        self.envelopes.ask_again(now)

    def _wake(self, when: float) -> None:
        if self._tick.when is None or when < self._tick.when:
            self._tick.set(when)

    def _is_full_for(self, newcomer: Participant) -> bool:
        """Whether there are too many, or their list would not fit into one message."""
        size = newcomer.entry_bytes + sum(p.entry_bytes for p in self.participants.values())
        return len(self.participants) >= self._context.settings.participants_per_call or size > LIST_BYTES

    def _unique_ssrc(self) -> int:
        """Random, not zero, unique in the call (protocol section 5.3)."""
        taken = {p.ssrc_video for p in self.participants.values()}
        while True:
            ssrc = int.from_bytes(self._context.random(4), "big")
            if ssrc and ssrc not in taken:
                return ssrc
