"""From approvals to the packet path: which endpoints each sender's media may go to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sft.calls.approvals import Approvals
from sft.calls.participant import Participant
from sft.forwarding.endpoint import Endpoint
from sft.forwarding.table import Table
from sft.model import ParticipantId


class Permissions:
    """Keeps the table's sets in step with the approval lists; touches only pairs that may have changed."""

    def __init__(
        self, participants: Mapping[ParticipantId, Participant], approvals: Approvals, table: Table
    ) -> None:
        self._participants = participants
        self._approvals = approvals
        self._table = table
        self._audio: dict[Endpoint, set[Endpoint]] = {}
        self._video: dict[Endpoint, set[Endpoint]] = {}

    def refresh(self, one: Participant, others: Iterable[ParticipantId], now: float) -> None:
        """Look again at both directions between ``one`` and each of ``others``."""
        changed: set[Endpoint] = set()
        for id in others:
            other = self._participants.get(id)
            if other is not None and other is not one:
                changed |= self._refresh_pair(one, other)
                changed |= self._refresh_pair(other, one)
        for sender in changed:
            audio = frozenset(self._audio.get(sender, ()))
            video = frozenset(self._video.get(sender, ()))
            self._table.set_allowed(sender, audio, video, now)

    @property
    def granted(self) -> int:
        """Ordered pairs of participants of which the first one's video may go to the second."""
        return sum(len(receivers) for receivers in self._video.values())

    def forget(self, participant: Participant, endpoint: Endpoint) -> None:
        """The endpoint leaves the table, which itself forgets it as a sender and as a receiver."""
        self._audio.pop(endpoint, None)
        self._video.pop(endpoint, None)
        for receivers in (*self._audio.values(), *self._video.values()):
            receivers.discard(endpoint)

    def _refresh_pair(self, sender: Participant, receiver: Participant) -> set[Endpoint]:
        """Returns the sender's endpoint if what it may send to the receiver changed."""
        if sender.connection is None or receiver.connection is None:
            return set()
        source, sink = sender.connection.endpoint, receiver.connection.endpoint
        audio = self._approvals.audio(sender.id, receiver.id, sender.connection.audio_ssrc)
        video = self._approvals.video(sender.id, receiver.id, sender.ssrc_video)
        changed = _put(self._audio.setdefault(source, set()), sink, audio)
        changed |= _put(self._video.setdefault(source, set()), sink, video)
        return {source} if changed else set()


def _put(receivers: set[Endpoint], receiver: Endpoint, allowed: bool) -> bool:
    """Returns whether the set changed."""
    if (receiver in receivers) is allowed:
        return False
    if allowed:
        receivers.add(receiver)
    else:
        receivers.discard(receiver)
    return True
