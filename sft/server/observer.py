"""From calls, which know no plugins, to the hooks; and from the hooks' answers back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import structlog

from sft.model import LEAVING, Ending, EnvelopeVerdict, JoinRecord, ParticipantId, PathKind, RosterEntry
from sft.plugin.manager import PluginManager


class HookObserver:
    """Implements :class:`sft.calls.context.Observer`."""

    def __init__(self, manager: PluginManager) -> None:
        self._manager = manager
        self._log = structlog.get_logger("call")
        self.on_call_started: Callable[[str], None] = lambda call: None
        self.on_call_ended: Callable[[str], None] = lambda call: None
        self.on_join_ended: Callable[[JoinRecord], None] = lambda join: None
        self.connected_total = 0
        self.left: Counter[str] = Counter({reason.value: 0 for reason in LEAVING})
        self.paths: Counter[PathKind] = Counter()
        """Of those who left."""

    def call_started(self, call: str) -> None:
        self.on_call_started(call)
        self._manager.notify("sft_call_started", call=call)

    def call_ended(self, call: str, reason: str) -> None:
        self.on_call_ended(call)
        self._manager.notify("sft_call_ended", call=call, reason=reason)

    def participant_joined(self, call: str, participant: ParticipantId) -> None:
        self.connected_total += 1
        self._manager.notify("sft_participant_joined", call=call, participant=participant)

    def participant_left(
        self, call: str, participant: ParticipantId, reason: Ending, detail: str, path: PathKind
    ) -> None:
        self.left[reason.value] += 1
        self.paths[path] += 1
        self._manager.notify(
            "sft_participant_left",
            call=call,
            participant=participant,
            reason=reason.value,
            detail=detail,
            path=path,
        )

    def join_ended(self, join: JoinRecord) -> None:
        self.on_join_ended(join)

    def roster_changed(self, call: str, roster: Sequence[RosterEntry], reason: str) -> None:
        self._manager.notify("sft_roster_changed", call=call, roster=roster, reason=reason)

    def order_roster(self, call: str, roster: Sequence[RosterEntry]) -> Sequence[RosterEntry]:
        return self._manager.order_roster(call, roster)

    def key_envelope(
        self, call: str, sender: ParticipantId, recipients: Sequence[ParticipantId], envelope: str
    ) -> EnvelopeVerdict:
        return self._manager.key_envelope(call, sender, recipients, envelope)

    def log(self, event: str, **fields: object) -> None:
        self._log.warning(event, **fields)
