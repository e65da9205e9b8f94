"""What participants say on their data channels (protocol section 2), and what the call does with it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sft.calls.approvals import Trusted
from sft.calls.participant import Participant
from sft.errors import BadPacket
from sft.model import Drop, Ending, ParticipantId
from sft.signalling.messages import (
    ConfPart,
    ConfStreams,
    Hangup,
    KeyEnvelope,
    Message,
    Ping,
    PropSync,
    decode_untrusted,
    encode,
)
from sft.signalling.replies import hangup, pong, propsync_relay

if TYPE_CHECKING:
    from sft.calls.call import Call


class Conversation:
    """The data channel side of one call."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def message(self, participant: Participant, text: str, now: float) -> None:
        """Take one channel message. Bad ones are counted and logged once per peer."""
        try:
            if not participant.take_token(now, self._call.context.settings.messages_per_second):
                raise BadPacket(Drop.MESSAGE_TOO_OFTEN)
            self._dispatch(participant, decode_untrusted(text), now)
        except BadPacket as bad:
            if participant.connection is not None:
                participant.connection.count_bad(bad)

    def _dispatch(self, participant: Participant, message: Message, now: float) -> None:
        match message:
            case Ping():
                self._ping(participant, now)
            case PropSync():
                self._propsync(participant, message, now)
            case ConfPart(resp=True):
                self._approve(participant, message, now)
            case ConfStreams():
                participant.wanted = message.streams
                self._call.resolve_streams([participant], now)
            case Hangup(resp=False):
                self._hangup(participant, now)
            case KeyEnvelope(resp=False):
                self._call.envelopes.take(participant, message, now)
            case _:
                raise BadPacket(Drop.MESSAGE_UNEXPECTED, message.TYPE)

    def _ping(self, participant: Participant, now: float) -> None:
        participant.last_ping = now
        self._call.send(participant, encode(pong(self._call.id, participant.id)), now)

    def _hangup(self, participant: Participant, now: float) -> None:
        self._call.send(participant, encode(hangup(self._call.id, participant.id, resp=True)), now)
        self._call.leave(participant, Ending.HANGUP, now)

    def _propsync(self, participant: Participant, message: PropSync, now: float) -> None:
        """Keep the properties and pass them on to those the participant trusts (section 2.7)."""
        participant.props = message.props
        self._tell_props(participant, self._call.approvals.approved_by(participant.id), now)

    def _approve(self, participant: Participant, message: ConfPart, now: float) -> None:
        """The participant says whom it trusts (section 5.4); newly trusted ones learn its properties."""
        known = self._call.participants
        trusted = {
            other.id: Trusted(part.ssrc_audio, part.ssrc_video)
            for part in message.participants
            if part.authorized
            and (other := known.get(part.participant)) is not None
            and other is not participant
        }
        changed = self._call.approvals.replace(participant.id, trusted)
        self._call.permissions.refresh(participant, changed, now)
        self._tell_props(participant, changed & trusted.keys(), now)

    def _tell_props(self, origin: Participant, receivers: Iterable[ParticipantId], now: float) -> None:
        if origin.props is None:
            return
        text = encode(propsync_relay(origin.id, origin.props))
        for id in receivers:
            receiver = self._call.participants.get(id)
            if receiver is not None:
                self._call.relay.post(receiver, origin.id, text, now)
