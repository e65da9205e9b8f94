from __future__ import annotations

import pytest

from sft.calls.requests import (
    Accepted,
    Answer,
    Ask,
    Connect,
    Drain,
    Offered,
    Refusal,
    Refused,
    Reply,
    Request,
    dump_reply,
    dump_request,
    load_reply,
    load_request,
)
from sft.model import IceServer, ParticipantId, WorkerLoad

ANN = ParticipantId("ann", "_")


@pytest.mark.parametrize(
    "request_value",
    [
        Connect("call", ANN, "192.0.2.1", update=True, ice_servers=(IceServer("turn:x", "u", "c"),)),
        Answer("call", ANN, "v=0\r\n"),
        Drain(),
        Ask(),
    ],
)
def test_requests_survive_the_pipe(request_value: Request) -> None:
    assert load_request(dump_request(request_value)) == request_value


@pytest.mark.parametrize(
    "reply",
    [
        Offered("v=0\r\n", update=False, with_url=True),
        Accepted(),
        Refused(Refusal.NO_PORT, "detail"),
        WorkerLoad(0, 1.5, 0.001, 2, 1, 50, draining=True),
    ],
)
def test_replies_survive_the_pipe(reply: Reply) -> None:
    assert load_reply(dump_reply(reply)) == reply
