"""A participant: one device in a call, whatever connection it uses at the moment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sft.model import ParticipantId, PathKind

if TYPE_CHECKING:
    from sft.calls.connection import Connection
    from sft.signalling.entries import StreamRequest
    from sft.signalling.messages import KeyEnvelope


ENTRY_BYTES = 160
"""What an entry of CONFPART takes apart from the ids, at most."""


class Participant:
    """State that outlives a connection. ``connection`` is the one whose data channel is open,
    ``pending`` one that is still being set up; without both the participant is gone."""

    __slots__ = (
        "bucket",
        "bucket_at",
        "connection",
        "entry_bytes",
        "envelope",
        "id",
        "joined",
        "last_ping",
        "path",
        "pending",
        "props",
        "roster_text",
        "ssrc_video",
        "wanted",
        "was_in",
    )

    def __init__(self, id: ParticipantId, ssrc_video: int) -> None:
        self.id = id
        self.entry_bytes = ENTRY_BYTES + len(json.dumps([id.user, id.client], ensure_ascii=False).encode())
        """Of its entry in CONFPART; a control character in an id takes six."""
        self.ssrc_video = ssrc_video
        """Made-up name of this participant's video, kept across connections (protocol section 5.3)."""
        self.connection: Connection | None = None
        self.pending: Connection | None = None
        self.path = PathKind()
        """What the connection had that ended last."""
        self.joined = 0
        """The join index of CONFPART; a new one after each reconnect."""
        self.was_in = False
        self.props: Mapping[str, str] | None = None
        self.wanted: tuple[StreamRequest, ...] = ()
        self.last_ping = 0.0
        self.envelope: KeyEnvelope | None = None
        """The newest key envelope; None: this client does not speak envelopes."""
        self.roster_text: str | None = None
        """The newest CONFPART, while it waits for a channel that is backed up."""
        self.bucket = 0.0
        self.bucket_at = 0.0

    @property
    def muted(self) -> bool:
        return self.props is not None and self.props.get("muted") == "true"

    def take_token(self, now: float, rate: float) -> bool:
        """May this participant send one more message? ``rate`` a second, four seconds' worth at once."""
        self.bucket = (
            min(4 * rate, self.bucket + (now - self.bucket_at) * rate) if self.bucket_at else 4 * rate
        )
        self.bucket_at = now
        if self.bucket < 1:
            return False
        self.bucket -= 1
        return True
