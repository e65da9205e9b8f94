"""Who may hear and see whom (protocol section 5.4).

Each participant tells the server whom it trusts, with the SSRCs it knows them by. Media goes from S
to R only if S approved R, R approved S, and R listed S with the SSRC the media really has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sft.model import ParticipantId


class Trusted(NamedTuple):
    """How one participant knows another one it approves."""

    ssrc_audio: int
    ssrc_video: int


class Approvals:
    """The newest approval list of each participant of one call."""

    def __init__(self) -> None:
        self._lists: dict[ParticipantId, dict[ParticipantId, Trusted]] = {}

    def replace(
        self, approver: ParticipantId, trusted: Mapping[ParticipantId, Trusted]
    ) -> set[ParticipantId]:
        """Take the approver's new list in place of its old one; returns who is new or no longer in it,
        or known by other numbers."""
        old = self._lists.get(approver, {})
        self._lists[approver] = dict(trusted)
        return {other for other, _ in old.items() ^ trusted.items()}

    def forget(self, participant: ParticipantId) -> None:
        """Drop what the participant approved and what others approved of it: it left, or came back
        with new SSRCs."""
        self._lists.pop(participant, None)
        for trusted in self._lists.values():
            trusted.pop(participant, None)

    def approves(self, approver: ParticipantId, other: ParticipantId) -> bool:
        return other in self._lists.get(approver, {})

    def approved_by(self, approver: ParticipantId) -> Iterable[ParticipantId]:
        return self._lists.get(approver, {}).keys()

    def audio(self, sender: ParticipantId, receiver: ParticipantId, ssrc: int | None) -> bool:
        """May audio with this SSRC go from sender to receiver?"""
        known = self._mutual(sender, receiver)
        return known is not None and ssrc is not None and known.ssrc_audio == ssrc

    def video(self, sender: ParticipantId, receiver: ParticipantId, ssrc: int) -> bool:
        """May the video announced under this made-up SSRC go from sender to receiver?"""
        known = self._mutual(sender, receiver)
        return known is not None and known.ssrc_video == ssrc

    def _mutual(self, sender: ParticipantId, receiver: ParticipantId) -> Trusted | None:
        if receiver not in self._lists.get(sender, {}):
            return None
        return self._lists.get(receiver, {}).get(sender)
