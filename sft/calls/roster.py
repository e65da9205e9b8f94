"""CONFPART rounds: telling everybody who is in the call (protocol sections 2.8 and 5.5).

Rounds are coalesced: the first change is told at once, then at most one round per interval, which grows
with the call. Within a round a few receivers are served per turn of the timer heap, so that a call of
hundreds does not hold up packets; a receiver whose channel is backed up gets the newest list once it has
drained, and never the ones in between.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from sft.calls.context import Context
from sft.calls.participant import Participant
from sft.model import RosterEntry
from sft.signalling.entries import Part
from sft.signalling.messages import encode
from sft.signalling.replies import confpart_list

BATCH = 4
"""Receivers served per turn; each costs an SCTP flight."""
BACKED_UP = 4096
"""Unsent bytes from which a channel counts as backed up."""
ROUND_RATE = 4_000_000
"""Bytes per second that rounds of one call may take: a list of N goes to N, and N such lists come back."""


class Roster:
    """The order of participants and the rounds that tell it."""

    def __init__(self, call: str, context: Context, started: bool) -> None:
        self._call = call
        self._context = context
        self._started = started
        self._members: list[Participant] = []
        self._next_index = 0
        self._next_round = float("-inf")
        self._stopped = False
        self._timer = context.timers.timer(self._round)
        self._waiting: deque[Participant] = deque()
        self._spread = context.timers.timer(self._serve_some)

    @property
    def members(self) -> Sequence[Participant]:
        """Everybody whose data channel is open, in order."""
        return self._members

    @property
    def first(self) -> Participant | None:
        return self._members[0] if self._members else None

    def append(self, participant: Participant, now: float) -> None:
        """Put a participant at the end: it joined, or came back on a new connection."""
        came_back = participant in self._members
        if came_back:
            self._members.remove(participant)
        participant.joined = self._next_index
        self._next_index += 1
        self._members.append(participant)
        self._changed(now, "reconnected" if came_back else "joined")

    def remove(self, participant: Participant, now: float) -> None:
        if participant in self._members:
            self._members.remove(participant)
            participant.roster_text = None
            self._changed(now, "left")

    def writable(self, participant: Participant, now: float) -> None:
        """The participant's channel may have drained."""
        connection = participant.connection
        if participant.roster_text is None or connection is None or connection.peer.buffered > BACKED_UP:
            return
        text, participant.roster_text = participant.roster_text, None
        connection.send(text, now)

    def stop(self) -> None:
        """Nobody is told of anything any more."""
        self._stopped = True
        self._timer.cancel()
        self._spread.cancel()

    def _changed(self, now: float, reason: str) -> None:
        entries = [RosterEntry(p.id.user, p.id.client, p.joined) for p in self._members]
        ordered = self._context.observer.order_roster(self._call, entries)
        by_id = {p.id: p for p in self._members}
        self._members = [by_id[entry.participant] for entry in ordered]
        self._context.observer.roster_changed(self._call, ordered, reason)
        if self._stopped or self._timer.when is not None:
            return
        if self._next_round <= now:
            self._round(now)
        else:
            self._timer.set(self._next_round)

    def _round(self, now: float) -> None:
        if not self._members:
            return
        entropy = self._context.random(16)
        text = self._text(now, entropy, should_start=False)
        size = len(text) * len(self._members)
        self._next_round = now + max(self._context.settings.roster_seconds, size / ROUND_RATE)
        for participant in self._members:
            participant.roster_text = text
        if not self._started:
            self._started = True
            self._members[0].roster_text = self._text(now, entropy, should_start=True)
        self._waiting = deque(self._members)
        self._serve_some(now)

    def _serve_some(self, now: float) -> None:
        for _ in range(BATCH):
            if self._waiting:  # looked at each time: whoever is given up here may begin another round
                self.writable(self._waiting.popleft(), now)
        if self._waiting:
            self._spread.set(now)

    def _text(self, now: float, entropy: bytes, should_start: bool) -> str:
        context = self._context
        context.seqno += 1
        return encode(
            confpart_list(
                [self._part(p) for p in self._members],
                should_start=should_start,
                timestamp=int(context.wall(now) * 1000),
                seqno=context.seqno,
                entropy=entropy,
                sfts=(context.settings.url,),
            )
        )

    @staticmethod
    def _part(participant: Participant) -> Part:
        connection = participant.connection
        return Part(
            userid=participant.id.user,
            clientid=participant.id.client,
            authorized=False,
            ssrc_audio=(connection.audio_ssrc or 0) if connection else 0,
            ssrc_video=participant.ssrc_video,
            timestamp=participant.joined,
            muted=participant.muted,
        )
