"""The unmodified Wire client holds calls on this server, in the ways its users do."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from support.wire_client import WireCall
from support.wire_transcript import transcript

pytestmark = pytest.mark.wire

MakeCall = Callable[..., WireCall]

SPOKEN = re.compile(r'.{8} \w (\S+).*?"type":"(\w+)"')
"""A line of a transcript that tells a message: its way and its type."""

JOIN_OF_THE_FIRST = [
    ("HTTP>", "CONFCONN"),
    ("<HTTP", "SETUP"),
    ("HTTP>", "SETUP"),
    ("<HTTP", "CONFCONN"),
    ("<DC", "CONFPART"),
    ("E2E>", "CONFSTART"),
    ("DC>", "CONFPART"),
]
"""Protocol section 3.1, and what the client then does for itself."""


def test_two_hear_each_other_and_one_leaves(make_call: MakeCall) -> None:
    call = make_call(clients=2)
    a, b = call.clients
    call.join(a, b)
    call.expect_heard(a, b)
    call.leave(b)
    call.expect_listed(a)
    spoken = [SPOKEN.match(line) for line in transcript(call.record(), a.label)]
    said = [match.groups() for match in spoken if match is not None and match[2] != "PROPSYNC"]
    assert said[: len(JOIN_OF_THE_FIRST)] == JOIN_OF_THE_FIRST


def test_three_in_one_call_through_everything(make_call: MakeCall) -> None:
    """Late joiner, cameras on after the join, mute, camera off and on twice, screen share, rejoin, crash."""
    call = make_call(clients=3)
    a, b, c = call.clients
    call.join(a, b)
    call.expect_heard(a, b)

    call.join(c)
    call.expect_heard(a, b, c)
    before = {x: call.inbound(x, "audio", "packetsReceived") for x in (a, b, c)}

    for client in (a, b, c):
        call.do(client, "video", state="STARTED")
    call.expect_seen(a, b, c)
    call.expect_heard(a, b, c)
    assert all(call.inbound(x, "audio", "packetsReceived") > 0 for x in before)

    call.do(c, "mute", muted=True)
    call.wait(lambda: bool(call.members(a)[c.key]["muted"]), "A shows C as muted")
    call.expect_silent(a, c)
    call.do(c, "mute", muted=False)
    call.expect_heard(a, b, c)

    for _ in range(2):
        call.do(b, "video", state="STOPPED")
        call.wait(lambda: not call.members(a)[b.key]["vrecv"], "A shows no video of B")
        call.do(b, "video", state="STARTED")
        call.expect_seen(a, b, c)

    call.do(b, "video", state="SCREENSHARE")
    for viewer in (a, c):
        call.expect_colour(viewer, b, b.screenHue)
    call.do(b, "video", state="STARTED")
    call.expect_seen(a, b, c)

    call.leave(c)
    call.expect_listed(a, b)
    call.join(c, video=True)
    call.expect_heard(a, b, c)
    call.expect_seen(a, b, c)

    call.kill(c)
    call.expect_listed(a, b)
    call.expect_listed(b, a)
    call.expect_heard(a, b)


def test_a_call_that_starts_with_video(make_call: MakeCall) -> None:
    call = make_call(clients=2)
    a, b = call.clients
    call.join(a, b, video=True)
    call.expect_seen(a, b)
    call.expect_heard(a, b)


def test_an_mls_call(make_call: MakeCall) -> None:
    call = make_call(clients=3, mls=True)
    a, b, c = call.clients
    call.join(a, b, c)
    call.expect_heard(a, b, c)


def test_the_librarys_firefox_mode_and_ids_with_a_domain(make_call: MakeCall) -> None:
    call = make_call(clients=2, env="firefox", domain="a.example")
    a, b = call.clients
    call.join(a, b)
    call.expect_heard(a, b)
    for client in (a, b):
        call.do(client, "video", state="STARTED")
    call.expect_seen(a, b)
