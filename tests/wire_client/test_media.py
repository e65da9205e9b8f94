"""What arrives, in numbers: everybody's audio everywhere, and no freeze at a change of quality."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from support.wire_client import Wire, WireCall

pytestmark = pytest.mark.wire

MakeCall = Callable[..., WireCall]

WINDOW = 20
"""Seconds over which audio packets are counted."""


def test_audio_of_every_speaker_reaches_every_receiver(make_call: MakeCall) -> None:
    """The original server loses most of it from the third participant on (protocol section 13)."""
    call = make_call(clients=3)
    call.join(*call.clients)
    call.expect_heard(*call.clients)

    def received(client: Wire) -> float:
        return call.inbound(client, "audio", "packetsReceived")

    def sent(client: Wire) -> float:
        outbound = call.connection(client)["outbound"]
        return sum(s.get("packetsSent", 0) for s in outbound if s["kind"] == "audio")

    before_sent = {client: sent(client) for client in call.clients}
    before_received = {client: received(client) for client in call.clients}
    time.sleep(WINDOW)
    got = {client: received(client) - before_received[client] for client in call.clients}
    given = {client: sent(client) - before_sent[client] for client in call.clients}
    for hearer in call.clients:
        wanted = sum(given[speaker] for speaker in call.clients if speaker is not hearer)
        print(f"{hearer.label} received {got[hearer]:.0f} of {wanted:.0f} audio packets")
        assert got[hearer] >= 0.95 * wanted
    call.expect_heard(*call.clients)


def test_the_picture_does_not_freeze_when_its_quality_changes(make_call: MakeCall) -> None:
    call = make_call(clients=2, fps=15)
    a, b = call.clients
    call.join(a, b)
    for client in (a, b):
        call.do(client, "video", state="STARTED")
    call.expect_seen(a, b)

    def width() -> int:
        return int(call.look(a)["summary"]["videoElements"][b.key]["w"])

    def frozen_during(action: Callable[[], None]) -> float:
        before = call.inbound(a, "video", "totalFreezesDuration")
        action()
        time.sleep(5)
        return call.inbound(a, "video", "totalFreezesDuration") - before

    def to(quality: int, wanted_width: int) -> None:
        call.do(a, "request", quality=quality)
        call.wait(lambda: width() == wanted_width, f"A sees B {wanted_width} pixels wide")

    to(1, 320)
    control = frozen_during(lambda: None)
    switch = frozen_during(lambda: to(2, 640))
    print(f"frozen {switch:.2f} s around a change from low to high, {control:.2f} s without one")
    assert switch <= control + 0.5
