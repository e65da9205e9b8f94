"""CONFSTREAMS: which video stands in which slot (protocol sections 2.9 and 6.5)."""

from __future__ import annotations

from support.rtp import steps
from support.world import World
from support.world_client import WorldClient


def slot_of(receiver: WorldClient, sender: WorldClient) -> int | None:
    """The index of the video slot the sender's newest packet came in."""
    sender.show()
    packets = [packet for packet in receiver.packets if packet.csrc == (sender.video_name,)]
    return receiver.end.slots.index(packets[-1].ssrc) - 6 if packets else None


def test_the_index_in_the_list_is_the_slot(world: World) -> None:
    ann, bob, cid, dan = world.join("ann", "bob", "cid", "dan")
    dan.want("cid", "nobody", "ann", "bob")
    assert [slot_of(dan, sender) for sender in (ann, bob, cid)] == [2, 3, 0]


def test_without_the_message_there_is_no_video(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    assert slot_of(bob, ann) is None


def test_a_new_list_replaces_the_old_one(world: World) -> None:
    ann, bob, cid = world.join("ann", "bob", "cid")
    cid.want("ann", "bob")
    assert slot_of(cid, ann) == 0
    cid.want("bob")
    assert slot_of(cid, bob) == 0
    before = len(cid.seen(ann))
    ann.show(3)
    assert len(cid.seen(ann)) == before


def test_an_empty_list_ends_all_video(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    bob.want("ann")
    assert slot_of(bob, ann) == 0
    bob.want()
    before = len(bob.seen(ann))
    ann.show(3)
    assert len(bob.seen(ann)) == before


def test_entries_beyond_the_slots_are_ignored(world: World) -> None:
    ann, bob = world.join("ann", "bob", video_slots=1)
    bob.want("nobody", "ann")
    assert slot_of(bob, ann) is None
    bob.want("ann", "nobody", "nobody")
    assert slot_of(bob, ann) == 0


def test_somebody_wanted_before_it_joined_is_shown_when_it_has(world: World) -> None:
    (bob,) = world.join("bob")
    bob.want("cid", "ann")
    (ann,) = world.join("ann")
    assert slot_of(bob, ann) == 1


def test_somebody_wanted_who_reconnects_is_shown_again(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    bob.want("ann")
    assert slot_of(bob, ann) == 0
    ann.join(update=True)
    world.run(1.0)
    before = len(bob.seen(ann))
    assert slot_of(bob, ann) == 0
    assert len(bob.seen(ann)) == before + 1


def test_who_reconnects_sees_what_it_wanted_without_asking_again(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    bob.want("nobody", "ann")
    bob.join(update=True)
    world.run(1.0)
    assert slot_of(bob, ann) == 1


def test_a_slot_keeps_its_numbers_in_step_when_its_sender_changes(world: World) -> None:
    ann, bob, cid = world.join("ann", "bob", "cid")
    for sender in (ann, bob, ann):
        cid.want(sender.id.user)
        sender.show(5)
        world.run(0.2)
    video = [packet for packet in cid.packets if packet.payload_type == 100]
    assert len({packet.ssrc for packet in video}) == 1
    assert steps([packet.sequence for packet in video]) == [1] * 14


def test_quality_chooses_the_layer(world: World) -> None:
    ann, bob, cid = world.join("ann", "bob", "cid")
    bob.want("ann", quality=1)
    cid.want("ann", quality=2)
    low, high = ann.show(5, rid="l"), ann.show(5, rid="h")
    low += ann.show(5, rid="l")
    assert set(bob.seen(ann)) <= set(low)
    assert cid.seen(ann)[-1] == high[-1]
