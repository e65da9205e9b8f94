"""What the original server does wrong (protocol section 13) and we do not, each by its number there.

1 and 3 need a listener: tests/e2e/test_operator_settings.py. These do not apply: 14 is about federation
between servers, 15 about command line flags we do not have, 17 about an HTTP client we do not have.
"""

from __future__ import annotations

import hmac
import json
import struct
import time

import attrs
import pytest
import structlog

from sft.calls.requests import Accepted, Drain, Offered
from sft.signalling.credentials import SharedSecret, Verdict, make_credentials
from support.door import Door
from support.rtcp import (
    SR,
    TRANSPORT_CC,
    TRANSPORT_FEEDBACK,
    asks_for_keyframe,
    pli,
    read_compounds,
    sender_report,
)
from support.rtp import ONE_BYTE_PROFILE, audio
from support.wire import confconn, message
from support.world import CALL, World
from support.world_client import WorldClient


def keyframe_requests(client: WorldClient, rid: str = "h") -> int:
    """How often the client was asked for a keyframe of a layer."""
    ssrc = client.end.audio_ssrc + {"h": 100, "l": 200}[rid]
    return sum(asks_for_keyframe(packet, ssrc) for packet in read_compounds(client.end.rtcp))


@pytest.mark.parametrize("type", ["PING", "HANGUP", "CONFPART", "PROPSYNC"])
async def test_defect_02_an_unsupported_message_is_answered_with_400(world: World, type: str) -> None:
    door, ann = Door(world), world.client("ann")
    await door.post(ann, confconn(CALL, "ann"))
    body = message(type, CALL, "ann", props={}, participants=[], should_start=False)
    assert (await door.post(ann, body)).status == 400


def test_defect_04_credentials_are_compared_as_a_whole_in_constant_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def spy(ours: bytes, theirs: bytes) -> bool:
        compared.append((ours, theirs))
        return real(ours, theirs)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    secret = SharedSecret(b"not-a-real-secret")
    username, credential = make_credentials(secret, expires=2**40, may_start=True)
    assert "0" in credential  # the digit that the original takes for the end
    wrong = credential[:-3] + ("A" if credential[-3] != "A" else "B") + "=="
    for shown, verdict in ((credential, Verdict.ACCEPTED), (wrong, Verdict.INVALID)):
        assert secret.check(username, shown, starting=True, wall=time.time()) is verdict
    assert [(len(ours), len(theirs)) for ours, theirs in compared] == [(88, 88)] * 2


async def test_defect_04_credentials_are_not_logged(world: World) -> None:
    username, credential = make_credentials(SharedSecret(b"x"), expires=2**40, may_start=True)
    door, ann = Door(world), world.client("ann")
    body = confconn(CALL, "ann", username=username, credential=credential)
    with structlog.testing.capture_logs() as lines:
        await door.post(ann, body)
        await door.post(ann, {**body, "vstreams": "nonsense"})
    said = repr(lines) + repr(world.observer.logs)
    assert username not in said
    assert credential not in said


def test_defect_05_a_draining_server_takes_joins_into_running_calls(world: World) -> None:
    (ann,) = world.join("ann")
    world.calls.handle(Drain(), world.now)
    world.join("bob")
    assert ann.users == ["ann", "bob"]


def test_defect_06_layers_are_learned_anew_after_an_update(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    bob.want("ann", quality=2)
    old = ann.show(3, rid="h")
    ann.join(update=True)  # its video has other SSRCs from now on
    world.run(1.0)
    new = ann.show(3, rid="h")
    assert bob.seen(ann) == old + new


def test_defect_07_an_update_of_an_unfinished_join_gets_a_fresh_offer(world: World) -> None:
    ann = world.client("ann")
    ann.connect()
    reply = ann.connect(update=True)
    assert isinstance(reply, Offered)
    assert ann.answer() == Accepted()
    ann.start()
    world.run(1.0)
    assert ann.users == ["ann"]
    assert world.open_ports == 1


def test_defect_08_picture_loss_is_passed_on_and_throttled(world: World) -> None:
    ann, bob, cid = world.join("ann", "bob", "cid")
    for receiver in (bob, cid):
        receiver.want("ann")
    ann.show(3)
    world.run(5.0)
    before = keyframe_requests(ann)
    for receiver in (bob, cid) * 10:
        receiver.end.send_rtcp(pli(receiver.end.slots[6]))
    world.run(0.1)
    assert keyframe_requests(ann) == before + 1


def test_defect_08_a_keyframe_is_asked_for_when_needed_and_not_every_second(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    bob.want("ann")
    ann.show()
    world.run(1.0)
    before = keyframe_requests(ann)
    for _ in range(100):
        ann.show(keyframe=False)
        world.run(0.1)
    assert keyframe_requests(ann) - before <= 1


def test_defect_09_slots_get_sender_reports(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    bob.want("ann")
    for _ in range(30):
        ann.talk()
        ann.show()
        world.run(0.1)
    reported = {
        int.from_bytes(packet.body[:4], "big") for packet in read_compounds(bob.end.rtcp) if packet.type == SR
    }
    assert {bob.end.slots[6]} < reported <= set(bob.end.slots)


def test_defect_10_the_reference_of_transport_feedback_is_in_64_ms(world: World) -> None:
    (ann, _) = world.join("ann", "bob")
    references = []
    for _ in range(2):
        ann.show()
        world.run(0.4)
        feedback = [
            packet
            for packet in read_compounds(ann.end.rtcp)
            if (packet.type, packet.count) == (TRANSPORT_FEEDBACK, TRANSPORT_CC)
        ][-1]
        references.append(int.from_bytes(feedback.body[12:15], "big"))
        world.run(6.0)
    assert references[1] - references[0] == pytest.approx(6.4 / 0.064, abs=1)


def test_defect_11_every_packet_of_a_compound_is_read(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    bob.want("ann")
    ann.show(3)
    world.run(5.0)
    before = keyframe_requests(ann)
    bob.end.send_rtcp(sender_report(bob.end.audio_ssrc) + pli(bob.end.slots[6]))
    world.run(0.1)
    assert keyframe_requests(ann) == before + 1


@pytest.mark.parametrize(("level", "heard"), [(20, True), (127, False)])
def test_defect_12_padding_between_header_extensions_is_skipped(
    world: World, level: int, heard: bool
) -> None:
    ann, bob = world.join("ann", "bob")  # ann, who is first, would be heard even if silent
    extensions = struct.pack("!HH", ONE_BYTE_PROFILE, 1) + bytes([0, 0, 0x10, 0x80 | level])
    packets = audio(bob.end.audio_ssrc, 100)
    for packet in packets:
        plain = attrs.evolve(packet, extensions={}).pack()
        bob.end.send_rtp(bytes([plain[0] | 0x10]) + plain[1:12] + extensions + plain[12:])
        world.run(0.02)
    assert (packets[-1].payload in ann.heard(bob)) is heard


def test_defect_13_who_wants_a_layer_that_pauses_gets_the_other(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    bob.want("ann", quality=1)
    ann.show(rid="h")
    assert ann.show(rid="l")[0] in bob.seen(ann)
    for _ in range(20):
        newest = ann.show(rid="h")
        world.run(0.1)
    assert newest[0] in bob.seen(ann)


@pytest.mark.parametrize("wanted", [33, 1000, 2**31, -1])
async def test_defect_16_any_number_of_video_slots_gets_an_offer(world: World, wanted: int) -> None:
    ann = world.client("ann")
    response = await Door(world).post(ann, confconn(CALL, "ann", vstreams=wanted, toolver="10.5.8"))
    assert json.loads(response.body)["type"] == "SETUP"
    assert len(ann.newest.slots) == 1 + 5 + (32 if wanted > 0 else 0)


def test_defect_18_we_send_no_properties_of_our_own(world: World) -> None:
    clients = world.join("ann", "bob")
    world.run(60.0)
    assert [client.of_type("PROPSYNC") for client in clients] == [[], []]
