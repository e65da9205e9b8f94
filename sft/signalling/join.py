"""The states of a join. Everything that affects them stands in the two tables of this file.

One join is one connection: one offer, one answer, one peer. A renegotiation is a second connection
with a join of its own; the first one stays established until the second is (protocol section 3.1)::

    GATHERING --OFFER--> OFFERED --ANSWER--> ANSWERED --CONNECT--> CONNECTED --OPEN--> ESTABLISHED
    \\_______ setup timer ______/            \\________ connection timer _______/
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from sft.errors import BadPacket, LocalError
from sft.model import Drop


class State(Enum):
    GATHERING = auto()  # the transport is being opened
    OFFERED = auto()  # the offer went out, in the reply to CONFCONN
    ANSWERED = auto()  # the answer came
    CONNECTED = auto()  # ICE and DTLS are up
    ESTABLISHED = auto()  # the data channel is open: the participant is in the call
    CLOSED = auto()


class Event(Enum):
    OFFER = auto()  # ours
    TIMEOUT = auto()  # ours
    CLOSE = auto()  # ours, or the peer's end; may come twice
    ANSWER = auto()  # the client's
    CONNECT = auto()  # the client's
    OPEN = auto()  # the client's


class Timer(Enum):
    """A timer starts with the first state that names it and runs on through the next ones that do."""

    SETUP = auto()
    CONNECTION = auto()


SECONDS: Mapping[Timer, float] = {Timer.SETUP: 10.0, Timer.CONNECTION: 10.0}

TIMERS: Mapping[State, Timer] = {
    State.GATHERING: Timer.SETUP,
    State.OFFERED: Timer.SETUP,
    State.ANSWERED: Timer.CONNECTION,
    State.CONNECTED: Timer.CONNECTION,
}

TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.GATHERING: {
        Event.OFFER: State.OFFERED,
        Event.TIMEOUT: State.CLOSED,
        Event.CLOSE: State.CLOSED,
    },
    State.OFFERED: {
        Event.ANSWER: State.ANSWERED,
        Event.TIMEOUT: State.CLOSED,
        Event.CLOSE: State.CLOSED,
    },
    State.ANSWERED: {
        Event.CONNECT: State.CONNECTED,
        Event.TIMEOUT: State.CLOSED,
        Event.CLOSE: State.CLOSED,
    },
    State.CONNECTED: {
        Event.OPEN: State.ESTABLISHED,
        Event.TIMEOUT: State.CLOSED,
        Event.CLOSE: State.CLOSED,
    },
    State.ESTABLISHED: {Event.CLOSE: State.CLOSED},
    State.CLOSED: {Event.CLOSE: State.CLOSED},
}

REMOTE_EVENTS = frozenset({Event.ANSWER, Event.CONNECT, Event.OPEN})


class JoinState:
    """Where one join stands. ``deadline``: when to send it ``Event.TIMEOUT``; None: no timer runs."""

    __slots__ = ("_seconds", "deadline", "state")

    def __init__(self, now: float, seconds: Mapping[Timer, float] = SECONDS) -> None:
        self._seconds = seconds
        self.state = State.GATHERING
        self.deadline: float | None = now + seconds[TIMERS[self.state]]

    def __repr__(self) -> str:
        return f"<JoinState {self.state.name} deadline={self.deadline}>"

    def event(self, name: Event, now: float) -> State:
        """Take an event and return the new state.

        An event that does not fit the state changes nothing: BadPacket if the client caused it,
        LocalError if we did.
        """
        before = self.state
        after = TRANSITIONS[before].get(name)
        if after is None:
            detail = f"{name.name} in state {before.name}"
            if name in REMOTE_EVENTS:
                raise BadPacket(Drop.MESSAGE_UNEXPECTED, detail)
            raise LocalError(detail)
        self.state = after
        timer = TIMERS.get(after)
        if timer is not TIMERS.get(before):
            self.deadline = None if timer is None else now + self._seconds[timer]
        return after
