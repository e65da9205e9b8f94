"""Key envelopes: opaque, end-to-end encrypted blobs that clients hand each other through us.

The server keeps each participant's newest envelope. Who sends one, speaks envelopes: it gets the
newest of everybody, and everybody who speaks them gets its own. A plugin may allow, refuse or hold
each (``sft_key_envelope``); what is held is asked about again every second and at each change of the
roster, and refused when its time is up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from sft.calls.context import Context
from sft.calls.participant import Participant
from sft.model import EnvelopeVerdict, ParticipantId
from sft.signalling.messages import KeyEnvelope, encode
from sft.signalling.replies import key_envelope_relay


@attrs.define
class Held:
    sender: ParticipantId
    recipients: tuple[ParticipantId, ...]
    envelope: str
    until: float


class Envelopes:
    """The envelopes of one call."""

    def __init__(
        self,
        call: str,
        context: Context,
        participants: Mapping[ParticipantId, Participant],
        send: Callable[[Participant, str, float], None],
    ) -> None:
        self._call = call
        self._context = context
        self._participants = participants
        self._send = send
        self._held: list[Held] = []

    def take(self, sender: Participant, message: KeyEnvelope, now: float) -> None:
        """A participant hands in its envelope."""
        first = sender.envelope is None
        until = now + self._context.settings.envelope_hold_seconds
        sender.envelope = message
        self._held = [held for held in self._held if held.sender != sender.id]
        others = [p for p in self._speakers() if p is not sender]
        self._carry(sender.id, [p for p in others if _is_for(message, p)], message.envelope, until, now)
        if first:
            for other in others:
                if other.envelope is not None and _is_for(other.envelope, sender):
                    self._carry(other.id, [sender], other.envelope.envelope, until, now)

    def forget(self, participant: Participant) -> None:
        """The participant left or came back on a new connection, which hands in a new envelope."""
        participant.envelope = None
        self._held = [
            attrs.evolve(held, recipients=tuple(r for r in held.recipients if r != participant.id))
            for held in self._held
            if held.sender != participant.id
        ]

    def ask_again(self, now: float) -> None:
        """Ask about what is held."""
        held, self._held = self._held, []
        for one in held:
            recipients = [p for p in self._speakers() if p.id in one.recipients]
            if recipients and one.sender in self._participants:
                self._carry(one.sender, recipients, one.envelope, one.until, now)

    def _speakers(self) -> list[Participant]:
        return [p for p in self._participants.values() if p.envelope is not None and p.connection is not None]

    def _carry(
        self, sender: ParticipantId, recipients: list[Participant], envelope: str, until: float, now: float
    ) -> None:
        if not recipients:
            return
        ids = tuple(p.id for p in recipients)
        verdict = self._context.observer.key_envelope(self._call, sender, ids, envelope)
        if verdict is EnvelopeVerdict.HOLD and now < until:
            self._held.append(Held(sender, ids, envelope, until))
        elif verdict is EnvelopeVerdict.ALLOW:
            text = encode(key_envelope_relay(self._call, sender, envelope))
            for recipient in recipients:
                self._send(recipient, text, now)
        else:
            self._context.observer.log(
                "envelope_refused", call=self._call, sender=str(sender), recipients=len(ids)
            )


def _is_for(message: KeyEnvelope, recipient: Participant) -> bool:
    return not message.recipients or recipient.id.user in message.recipients
