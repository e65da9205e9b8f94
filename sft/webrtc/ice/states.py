"""The states of a candidate pair and of a full agent: everything that may happen to them is in these tables.

Sources: RFC 8445 sections 6.1.2.6 (pairs), 7.2.5 and 7.3.1 (what checks do to them), 6.1.2.1 (check list).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, TypeVar

from sft.errors import LocalError


class PairState(Enum):
    FROZEN = auto()
    """Waits until a pair of the same foundation has succeeded or given up."""
    WAITING = auto()
    """To be checked when it is its turn."""
    IN_PROGRESS = auto()
    """A check is under way."""
    SUCCEEDED = auto()
    FAILED = auto()


class PairEvent(Enum):
    UNFREEZE = auto()
    TRIGGER = auto()
    """The peer's check came on this pair: check it next."""
    SEND = auto()
    SUCCEED = auto()
    FAIL = auto()
    """No answer, an error, or an answer from elsewhere."""
    REPEAT = auto()
    """Role conflict: the same check again in the other role."""


class AgentState(Enum):
    NEW = auto()
    """The peer's credentials are not known."""
    CHECKING = auto()
    CONNECTED = auto()
    """A pair is selected, and consent is watched."""
    FAILED = auto()


class AgentEvent(Enum):
    START = auto()
    """The peer's credentials came, or new ones (ICE restart)."""
    SELECT = auto()
    GIVE_UP = auto()
    """No pair is left, or consent expired."""


State = TypeVar("State", PairState, AgentState)
Event = TypeVar("Event", PairEvent, AgentEvent)

PAIR: Final[Mapping[PairState, Mapping[PairEvent, PairState]]] = {
    PairState.FROZEN: {
        PairEvent.UNFREEZE: PairState.WAITING,
        PairEvent.TRIGGER: PairState.WAITING,
    },
    PairState.WAITING: {
        PairEvent.TRIGGER: PairState.WAITING,
        PairEvent.SEND: PairState.IN_PROGRESS,
        PairEvent.SUCCEED: PairState.SUCCEEDED,  # the answer to a check that a triggered one replaces
    },
    PairState.IN_PROGRESS: {
        PairEvent.TRIGGER: PairState.WAITING,
        PairEvent.REPEAT: PairState.WAITING,
        PairEvent.SUCCEED: PairState.SUCCEEDED,
        PairEvent.FAIL: PairState.FAILED,
    },
    PairState.SUCCEEDED: {
        PairEvent.TRIGGER: PairState.SUCCEEDED,
        PairEvent.SUCCEED: PairState.SUCCEEDED,
        PairEvent.FAIL: PairState.FAILED,  # its nomination
    },
    PairState.FAILED: {
        PairEvent.TRIGGER: PairState.WAITING,
        PairEvent.SUCCEED: PairState.SUCCEEDED,  # as for WAITING
    },
}

AGENT: Final[Mapping[AgentState, Mapping[AgentEvent, AgentState]]] = {
    AgentState.NEW: {
        AgentEvent.START: AgentState.CHECKING,
    },
    AgentState.CHECKING: {
        AgentEvent.START: AgentState.CHECKING,
        AgentEvent.SELECT: AgentState.CONNECTED,
        AgentEvent.GIVE_UP: AgentState.FAILED,
    },
    AgentState.CONNECTED: {
        AgentEvent.START: AgentState.CHECKING,
        AgentEvent.SELECT: AgentState.CONNECTED,
        AgentEvent.GIVE_UP: AgentState.FAILED,
    },
    AgentState.FAILED: {},
}


def next_state(table: Mapping[State, Mapping[Event, State]], state: State, event: Event) -> State:
    """``LocalError``: the event may not happen in this state."""
    try:
        return table[state][event]
    except KeyError:
        raise LocalError(f"{event} in {state}") from None
