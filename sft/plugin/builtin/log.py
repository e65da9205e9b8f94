"""Built-in plugin ``log``: the life of calls as structured log lines."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from sft import hookimpl
from sft.model import ParticipantId, PathKind, RosterEntry
from sft.plugin.values import DrainState

_log = structlog.get_logger("call")


@hookimpl
def sft_call_started(call: str) -> None:
    _log.info("call_started", call=call)


@hookimpl
def sft_call_ended(call: str, reason: str) -> None:
    _log.info("call_ended", call=call, reason=reason)


@hookimpl
def sft_participant_joined(call: str, participant: ParticipantId) -> None:
    _log.info("participant_joined", call=call, participant=str(participant))


@hookimpl
def sft_participant_left(
    call: str, participant: ParticipantId, reason: str, detail: str, path: PathKind
) -> None:
    who = str(participant)
    _log.info("participant_left", call=call, participant=who, reason=reason, detail=detail, path=str(path))


@hookimpl
def sft_roster_changed(call: str, roster: Sequence[RosterEntry], reason: str) -> None:
    _log.debug("roster_changed", call=call, participants=len(roster), reason=reason)


@hookimpl
def sft_draining(state: DrainState) -> None:
    _log.info("draining", state=state.value)
