"""What a snapshot says is of now, not of a time when media flowed, and of this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from sft.forwarding.downlink import Reason
from sft.forwarding.slot import Grant
from sft.model import ParticipantId
from sft.plugin import ParticipantSnapshot
from sft.server.snapshot import open_descriptors, read_call
from sft.webrtc.rtcp import ReportBlock, write_receiver_report
from support.world import World
from support.world_client import WorldClient


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.end()
    world.assert_empty()


@pytest.fixture
def ann(world: World) -> WorldClient:
    """Is seen and heard by bob."""
    ann, bob = world.join("ann", "bob")
    bob.want("ann", quality=2)
    return ann


def read(world: World, user: str) -> ParticipantSnapshot:
    people = read_call(world.call(), world.now).participants
    return next(one for one in people if one.user == user)


def endpoint_of(world: World, user: str):
    connection = world.call().participants[ParticipantId(user, "_")].connection
    assert connection is not None
    return connection.endpoint


def talk_badly(world: World, ann: WorldClient) -> None:
    """Two seconds in which every third packet is missing on the way up, and a quarter on the way down."""
    for _ in range(100):
        ann.talk(2)
        ann.sequences[ann.end.audio_ssrc] += 1
        world.run(0.02)
    slot = next(slot for slot in endpoint_of(world, "bob").audio_slots if slot.source is not None)
    bob = next(client for client in world.clients if client.id.user == "bob")
    bob.end.send_rtcp(write_receiver_report(7, [ReportBlock(slot.ssrc, 64, 5, 0, 960, 0, 0)]))


def test_loss_and_jitter_are_told_while_media_flows_and_not_when_it_has_stopped(
    world: World, ann: WorldClient
) -> None:
    talk_badly(world, ann)
    up, down = read(world, "ann"), read(world, "bob")
    assert up.loss_received == pytest.approx(1 / 3, abs=0.05)
    assert up.jitter_received_seconds > 0
    assert (down.loss_sent, down.jitter_sent_seconds) == (0.25, 0.02)
    world.run(3)
    up, down = read(world, "ann"), read(world, "bob")
    assert (up.sends, down.receives) == ((), {})
    assert (up.loss_received, up.jitter_received_seconds) == (0, 0)
    assert (down.loss_sent, down.jitter_sent_seconds) == (0, 0)


def test_a_receiver_is_limited_only_while_the_video_it_wants_is_sent(world: World, ann: WorldClient) -> None:
    ann.show()
    bob = endpoint_of(world, "bob")
    bob.budget.reason = Reason.LOSS
    bob.video_slots[0].granted = Grant.LOW
    limited = read(world, "bob")
    assert (limited.limited_by, limited.slots_reduced, limited.slots_paused) == ("loss", 1, 0)
    world.run(3)
    idle = read(world, "bob")
    assert (idle.limited_by, idle.slots_reduced, idle.slots_paused) == ("", 0, 0)


@pytest.mark.parametrize("tells_by_size", [True, False], ids=["since Linux 6.2", "before"])
def test_a_socket_more_is_a_descriptor_more(monkeypatch: pytest.MonkeyPatch, tells_by_size: bool) -> None:
    if not tells_by_size:
        monkeypatch.setattr(os, "stat", lambda path: SimpleNamespace(st_size=0))
    before = open_descriptors()
    with socket.socket():
        assert open_descriptors() == before + 1
    assert open_descriptors() == before > 2
