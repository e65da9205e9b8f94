"""Over what kind of path each participant is connected, and what is told of it when it leaves."""

from __future__ import annotations

import pytest

from sft.model import Address, PathKind
from support.world import CALL, World
from support.world_client import WorldClient


def candidate(address: Address, kind: str) -> str:
    host, port = address[:2]
    return f"a=candidate:1 1 udp 2130706431 {host} {port} typ {kind}\n"


def kind(client: WorldClient) -> PathKind:
    connection = client.world.call().participants[client.id].connection
    assert connection is not None
    return connection.path_kind


@pytest.mark.parametrize("remote", ["host", "srflx", "relay"])
def test_the_remote_end_is_called_what_the_answer_calls_it(world: World, remote: str) -> None:
    ann = world.client("ann")
    ann.connect()
    ann.answer(
        candidates=candidate(("192.0.2.77", 9), "host") + candidate(ann.newest.address, remote),
    )
    ann.start()
    assert kind(ann) == PathKind("udp", "host", remote)
    ann.leave()
    assert world.observer.paths == {"ann": PathKind("udp", "host", remote)}


def test_an_address_that_the_answer_does_not_name_is_peer_reflexive(world: World) -> None:
    ann = world.client("ann")
    ann.connect()
    host, port = ann.newest.address[:2]
    ann.answer(candidates=candidate((host, port + 1), "host"))
    ann.start()
    assert str(kind(ann)) == "udp host-prflx"


def test_an_answer_that_comes_after_the_path_was_chosen_still_names_it(world: World) -> None:
    ann = world.client("ann")
    ann.connect()
    ann.newest.start()
    world.settle()
    ann.answer(candidates=candidate(ann.newest.address, "relay"))
    ann.start()
    assert kind(ann).remote == "relay"


def test_ipv6_addresses_may_be_spelt_differently(world: World) -> None:
    ann = world.client("ann")
    ann.connect()
    del world.ends[ann.newest.address]
    ann.newest.address = ("2001:db8::7", 50000, 0, 0)
    world.ends[ann.newest.address] = ann.newest
    ann.answer(candidates=candidate(("2001:DB8:0:0::7", 50000), "srflx"))
    ann.start()
    assert kind(ann).remote == "srflx"
    connection = world.call().participants[ann.id].connection
    assert connection is not None
    assert connection.remote == "[2001:db8::7]:50000"


def test_who_leaves_is_recorded_with_the_path_of_its_last_connection(world: World) -> None:
    ann = world.client("ann")
    ann.join()
    assert isinstance(ann.connect(update=True).sdp, str)  # type: ignore[union-attr]
    ann.answer(candidates=candidate(ann.newest.address, "relay"))
    ann.start()
    ann.leave()
    assert CALL not in world.calls.calls
    assert world.observer.paths["ann"].remote == "relay"


def test_a_participant_whose_reconnect_fails_is_recorded_with_the_path_it_had(world: World) -> None:
    (ann,) = world.join("ann")
    ann.connect(update=True)
    ann.vanish()
    world.run(60)
    assert "ann" in world.observer.left()
    assert str(world.observer.paths["ann"]) == "udp host-prflx"
