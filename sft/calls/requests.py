"""What the gateway asks of a worker, and what the worker answers: plain values that survive JSON.

Calls and participants know nothing of HTTP; a worker takes these and gives these, in one process or
through a pipe.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TypeAlias

import attrs
import cattrs
from cattrs.strategies import configure_tagged_union

from sft.model import IceServer, ParticipantId, WorkerLoad


@attrs.frozen
class Connect:
    """A CONFCONN that the gateway let through (protocol section 2.4): make an offer."""

    call: str
    participant: ParticipantId
    address: str
    """Whom pending participants are counted under: the client's IPv4 address or IPv6 network."""
    update: bool = False
    simulcast: bool = True
    audio_slots: bool = True
    video_slots: int = 0
    ice_servers: tuple[IceServer, ...] = ()
    received: float = 0.0
    """Unix seconds."""
    traceparent: str = ""
    """Of the HTTP request, see :class:`sft.model.JoinRecord`."""


@attrs.frozen
class Answer:
    """A SETUP or UPDATE with ``resp:true`` (protocol section 2.5): the client's SDP answer."""

    call: str
    participant: ParticipantId
    sdp: str


@attrs.frozen
class Drain:
    """From now on no new calls (protocol section 1.8); joins into running calls go on."""


@attrs.frozen
class Ask:
    """How is the worker? Answered with a :class:`sft.model.WorkerLoad`."""


class Refusal(StrEnum):
    """Why a worker says no. Each is one counter."""

    CALL_FULL = "call_full"
    WORKER_FULL = "worker_full"
    TOO_MANY_PENDING = "too_many_pending"
    NO_PORT = "no_port"
    TRANSPORT_FAILED = "transport_failed"
    DRAINING = "draining"
    UNKNOWN_PARTICIPANT = "unknown_participant"
    BAD_ANSWER = "bad_answer"


@attrs.frozen
class Offered:
    """The offer. ``update`` makes it an UPDATE message instead of a SETUP; ``with_url``: say who we are."""

    sdp: str
    update: bool
    with_url: bool


@attrs.frozen
class Accepted:
    """The answer (or order) was taken."""


@attrs.frozen
class Refused:
    reason: Refusal
    detail: str = ""


Request: TypeAlias = Connect | Answer | Drain | Ask
Reply: TypeAlias = Offered | Accepted | Refused | WorkerLoad

_converter = cattrs.Converter(forbid_extra_keys=True)
configure_tagged_union(Request, _converter)
configure_tagged_union(Reply, _converter)


def dump_request(request: Request) -> bytes:
    return json.dumps(_converter.unstructure(request, unstructure_as=Request)).encode()


def load_request(data: bytes) -> Request:
    value: Request = _converter.structure(json.loads(data), Request)  # type: ignore[arg-type]  # a union is no type[T]
    return value


def dump_reply(reply: Reply) -> bytes:
    return json.dumps(_converter.unstructure(reply, unstructure_as=Reply)).encode()


def load_reply(data: bytes) -> Reply:
    value: Reply = _converter.structure(json.loads(data), Reply)  # type: ignore[arg-type]  # a union is no type[T]
    return value
