"""A client pages through a call of ten: three Wire clients, and seven participants made by the test that
send Wire's frames without its library."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from support.clients import AiortcClient, ClientPool
from support.server import Server
from support.wire import props
from support.wire_client import Wire, WireCall
from support.wire_frames import (
    FrameCipher,
    base_iv,
    decode_key,
    hidden_name,
    keyframe,
    media_key,
    video_packets,
)

pytestmark = pytest.mark.wire

SWITCH = 8.0
"""Seconds until a page must be there; the clients' pictures are looked at once a second."""

FPS = 5
LOOK_FRAMES = 6
"""More than pass between two looks of a client at its pictures."""

SECONDS = 120
"""More of the synthetic pictures than the test looks at; what is left ends with the client."""


def bring_in(call: WireCall, server: Server, stranger: Wire, client: AiortcClient) -> None:
    """Join as that member and send a picture of its colour from now on."""
    secret = call.secret()
    convhash = hidden_name(secret, call.conversation)
    uhash = hidden_name(secret, stranger.userid, stranger.clientid)
    epoch, epoch_key = call.epoch()
    client.join(server.url, convhash, user=uhash, toolver="10.0.0")
    client.wait(lambda one: uhash in one.users)
    client.say("PROPSYNC", resp=True, props=props(videosend="true", keysync=str(epoch)))
    csrc = int(client.entry(client)["ssrc_video"])
    cipher = FrameCipher(media_key(decode_key(epoch_key), convhash), epoch, base_iv(uhash, "video"), csrc)
    layer = "l" if "l" in client.ssrcs else "video"
    pictures = video_packets(
        cipher,
        keyframe(stranger.hue),
        client.ssrcs[layer],
        FPS * SECONDS,
        fps=FPS,
        rid=layer.removeprefix("video"),
    )
    client.start_sending(pictures, FPS)


def expect_page(call: WireCall, viewer: Wire, page: Sequence[Wire]) -> None:
    """The viewer asks for these and sees each in its colour, and new pictures keep that colour: a tile of
    an earlier page could stand still and look right."""
    start = time.monotonic()
    call.do(viewer, "request", users=[one.userid for one in page])
    for one in page:
        call.expect_colour(viewer, one, one.hue, SWITCH)
    shown = time.monotonic() - start
    before = [call.frames(viewer, one) for one in page]
    call.wait(
        lambda: all(
            call.frames(viewer, one) > count + LOOK_FRAMES for one, count in zip(page, before, strict=True)
        ),
        f"all pictures of the page move at {viewer.label}",
        SWITCH,
    )
    for one in page:
        call.expect_colour(viewer, one, one.hue, SWITCH)
    names = "".join(one.label for one in page)
    print(f"{viewer.label} sees the page {names} after {shown:.1f} s")


def test_a_client_pages_through_ten(
    make_call: Callable[..., WireCall], server: Server, clients: ClientPool
) -> None:
    call = make_call(clients=3, strangers=7, mls=True, width=320, height=180, fps=5)
    a, b, c = call.clients
    call.join(a, b, c, video=True)
    call.expect_seen(a, b, c)
    for stranger in call.strangers:
        bring_in(call, server, stranger, clients.make())
    call.expect_listed(a, b, c, *call.strangers)

    for viewer in (a, b, c):
        x, y = (one for one in (a, b, c) if one is not viewer)
        first, second = [x, *call.strangers[:3]], [y, *call.strangers[3:]]
        for page in (first, second):
            expect_page(call, viewer, page)
