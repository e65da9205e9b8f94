"""Every way a participant, a connection or a call can end; each frees all it held, exactly once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sft.errors import TransportError
from support.world import CALL, World
from support.world_client import WorldClient, everything


def hang_up(ann: WorldClient) -> None:
    ann.leave()


def close(ann: WorldClient) -> None:
    ann.close()


def say_close_notify(ann: WorldClient) -> None:
    engine = ann.end.engine
    engine.dtls.close()
    engine.outbox += engine.dtls.datagrams()
    ann.world.settle()


def close_the_channel(ann: WorldClient) -> None:
    """As RTCDataChannel.close() does: reset the outgoing stream (RFC 6525)."""
    sctp = ann.end.engine.sctp
    assert sctp is not None
    assert sctp._channel is not None
    sctp._loop.run(ann.world.now, sctp._channel.close)
    ann.end.engine._flush(ann.world.now)
    ann.world.run(1.0)


def fall_silent(ann: WorldClient) -> None:
    ann.vanish()
    ann.world.run(20.0)


def stop_pinging(ann: WorldClient) -> None:
    ann.sends_pings = False
    ann.world.run(50.0)


def stop_reading(ann: WorldClient) -> None:
    """What Ann is sent is lost, or what she acknowledges: for the server it is the same."""
    ann.end.lose_down = everything
    bob = ann.world.clients[1]
    while not ann.world.observer.left():
        bob.say("PROPSYNC", props={"text": "x" * 4000})
        ann.world.run(0.05)


def send_too_much(ann: WorldClient) -> None:
    ann.say("PING", filler="x" * 70_000)
    ann.world.run(1.0)


def stop_the_server(ann: WorldClient) -> None:
    ann.world.calls.abandon(ann.world.now)


ENDS = {
    hang_up: "hangup",
    close: "connection_ended SCTP association ended by the peer",
    say_close_notify: "connection_ended DTLS close_notify",
    close_the_channel: "connection_ended data channel closed by the peer",
    fall_silent: "silence",
    stop_pinging: "no_ping",
    stop_reading: "channel_stalled",
    send_too_much: "connection_ended a message is too large",
    stop_the_server: "server_stopped",
}


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_every_end_of_an_open_connection_frees_everything_once(
    world: World, end: Callable[[WorldClient], None]
) -> None:
    ann, bob = world.join("ann", "bob")
    ann.talk(3)
    bob.want("ann")
    ann.show(3)
    end(ann)
    assert dict(world.observer.endings)["ann"] == ENDS[end]
    assert ann.end.transport.closed == 1
    if end is not stop_the_server:
        assert bob.end.transport.closed == 0
        world.run(1.0)
        assert bob.users == ["bob"]
        bob.leave()
    world.assert_empty()
    assert [event for event in world.observer.events if event[0] in ("started", "ended")] == [
        ("started", CALL),
        ("ended", CALL, "empty"),
    ]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
def test_every_end_of_the_last_participant_ends_the_call(
    world: World, end: Callable[[WorldClient], None]
) -> None:
    (ann, other) = world.join("ann", "other")
    if end is not stop_reading:
        other.leave()
    end(ann)
    if end is stop_reading:
        other.leave()
    world.assert_empty()
    world.run(100.0)
    world.assert_empty()


def never_answer(ann: WorldClient) -> None:
    ann.world.run(15.0)


def never_connect(ann: WorldClient) -> None:
    ann.answer()
    ann.world.run(15.0)


def never_open_the_channel(ann: WorldClient) -> None:
    """ICE and DTLS work, SCTP is lost."""
    ann.answer()
    ann.newest.engine.check()
    ann.world.settle()
    ann.newest.lose_up = lambda data: data[0] == 23  # application data
    ann.newest.engine.start_dtls(ann.world.now)
    ann.world.settle()
    ann.world.run(15.0)


def say_close_notify_early(ann: WorldClient) -> None:
    ann.newest.lose_up = lambda data: data[0] == 23
    ann.answer()
    ann.start()
    ann.newest.lose_up = lambda data: False
    ann.newest.engine.dtls.close()
    ann.newest.engine.outbox += ann.newest.engine.dtls.datagrams()
    ann.world.settle()


def fail_the_handshake(ann: WorldClient) -> None:
    """Broken handshakes are forgotten a few times, then the join is."""
    ann.answer()
    ann.newest.engine.check()
    ann.world.settle()
    for _ in range(8):
        ann.newest.send(b"\x16\xfe\xfd" + bytes(8) + b"\x00\x04junk")


PENDING_ENDS = {
    never_answer: "offered_timeout",
    never_connect: "answered_timeout",
    never_open_the_channel: "connection_ended SCTP association did not come up",
    fail_the_handshake: "connection_ended DTLS handshake failed",
    say_close_notify_early: "connection_ended DTLS close_notify",
    stop_the_server: "server_stopped",
}


@pytest.mark.parametrize("end", PENDING_ENDS, ids=lambda end: end.__name__)
@pytest.mark.parametrize("company", [False, True], ids=["alone", "in company"])
def test_every_end_of_a_join_frees_everything_once(
    world: World, end: Callable[[WorldClient], None], company: bool
) -> None:
    if company:
        (bob,) = world.join("bob")
    ann = world.client("ann")
    ann.connect()
    end(ann)
    (failed,) = [fields for name, fields in world.observer.logs if name == "join_failed"]
    assert f"{failed['reason']} {failed['detail']}".strip().startswith(PENDING_ENDS[end])
    assert world.observer.of("joined") == [("joined", "bob")] * company
    assert ann.newest.transport.closed == 1
    if company and end is not stop_the_server:
        assert "ann" not in bob.users
        bob.leave()
    world.assert_empty()


def test_a_call_whose_last_join_times_out_leaves_no_timer(world: World) -> None:
    world.client("ann").connect()
    world.run(15.0)
    world.assert_empty()
    assert world.observer.events == [("started", CALL), ("ended", CALL, "empty")]


def test_the_offer_is_good_for_ten_seconds_and_so_is_the_connecting(world: World) -> None:
    ann = world.client("ann")
    ann.connect()
    world.run(9.9)
    ann.answer()
    world.run(9.9)
    ann.start()
    assert ann.users == ["ann"]


def test_a_transport_that_cannot_be_opened_refuses_the_join_and_ends_a_new_call(world: World) -> None:
    world.ports_left = 0
    world.client("ann").connect()
    assert world.observer.events == [("started", CALL), ("ended", CALL, "refused")]
    world.assert_empty()

    def fail(*args: object) -> None:
        raise TransportError("the network is down")

    world.context.open_transports = fail  # type: ignore[assignment]
    world.client("ann").connect()
    assert {refusal.value: count for refusal, count in world.calls.refusals.items()} == {
        "no_port": 1,
        "transport_failed": 1,
    }


def test_a_fault_while_a_connection_is_made_leaves_no_port_and_no_call(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(now: float) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(world.context, "make_peer", fail)
        with pytest.raises(MemoryError):
            world.client("ann").connect()
    assert world.observer.events == [("started", CALL), ("ended", CALL, "refused")]
    assert world.open_ports == 0
    world.assert_empty()


def test_hooks_are_called_in_order(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.join(update=True)
    world.run(1.0)
    ann.leave()
    bob.leave()
    assert world.observer.events == [
        ("started", CALL),
        ("joined", "ann"),
        ("roster", ["ann"], "joined"),
        ("joined", "bob"),
        ("roster", ["ann", "bob"], "joined"),
        ("roster", ["bob", "ann"], "reconnected"),
        ("left", "ann", "hangup"),
        ("roster", ["bob"], "left"),
        ("left", "bob", "hangup"),
        ("roster", [], "left"),
        ("ended", CALL, "empty"),
    ]


def send_checks(ann: WorldClient) -> None:
    ann.end.engine.check()


def send_rtp(ann: WorldClient) -> None:
    ann.talk()


def send_rtcp(ann: WorldClient) -> None:
    ann.end.send_rtcp(bytes.fromhex("80c9000100000001"))


def send_dtls(ann: WorldClient) -> None:
    ann.end.engine.send("not even a message", ann.world.now)


SIGNS_OF_LIFE = [send_checks, send_rtp, send_rtcp, send_dtls]


@pytest.mark.parametrize("sign", SIGNS_OF_LIFE, ids=lambda sign: sign.__name__)
def test_each_kind_of_authenticated_packet_alone_keeps_a_connection(
    world: World, sign: Callable[[WorldClient], None]
) -> None:
    ann, _ = world.join("ann", "bob")
    ann.sends_checks = ann.sends_pings = False
    silence_the_rest(ann, sign)
    for _ in range(4):
        world.run(10.0)
        sign(ann)
        world.settle()
    assert world.observer.left() == {}
    world.run(17.0)
    assert world.observer.left()["ann"] in ("silence", "no_ping")


def silence_the_rest(ann: WorldClient, sign: Callable[[WorldClient], None]) -> None:
    """Let through only what ``sign`` sends."""
    passes = {
        send_checks: lambda data: data[0] < 4,
        send_rtp: lambda data: 128 <= data[0] <= 191,
        send_rtcp: lambda data: 128 <= data[0] <= 191,
        send_dtls: lambda data: 20 <= data[0] <= 63,
    }[sign]
    ann.end.lose_up = lambda data: not passes(data)


def test_packets_that_nobody_vouches_for_keep_nothing_alive(world: World) -> None:
    ann, _ = world.join("ann", "bob")
    ann.sends_checks = ann.sends_pings = False
    forged = [
        bytes.fromhex("000100002112a442") + bytes(12),
        b"\x80\x6f" + bytes(40),
        b"\x17\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x08" + bytes(8),
    ]
    for _ in range(20):
        world.run(1.0)
        for data in forged:
            ann.end.send(data)
    assert world.observer.left() == {"ann": "silence"}


def test_without_pings_a_client_is_hung_up_on_although_its_packets_arrive(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.sends_pings = False
    for _ in range(44):
        ann.talk()
        world.run(1.0)
    assert world.observer.left() == {}
    world.run(3.0)
    assert world.observer.left() == {"ann": "no_ping"}
    (told,) = ann.of_type("HANGUP")
    assert (told["resp"], told["src_userid"], told["dest_userid"]) == (False, "sft", "ann")
    assert bob.users == ["bob"]


def test_an_outage_of_ten_seconds_ends_nothing(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.talk(5)
    ann.vanish()
    bob.say("PROPSYNC", props={"said": "meanwhile"})
    world.run(10.0)
    ann.come_back()
    world.run(10.0)
    assert world.observer.left() == {}
    assert ann.talk(2) == bob.heard(ann)[5:]
    assert ann.of_type("PROPSYNC")[-1]["props"] == {"said": "meanwhile"}


def test_a_client_that_moves_to_another_address_goes_on(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.talk(2)
    del world.ends[ann.end.address]
    ann.end.address = ("198.51.100.200", 60000)
    world.ends[ann.end.address] = ann.end
    assert ann.talk(2) == bob.heard(ann)[2:], "media is taken from anywhere: it authenticates itself"
    assert bob.talk() != ann.heard(bob)
    ann.end.engine.check()
    world.settle()
    assert bob.talk() == ann.heard(bob)
    world.run(10.0)
    assert ann.talk(1) == bob.heard(ann)[4:]


def test_what_a_gone_connection_carried_stays_counted(world: World) -> None:
    ann, bob = world.join("ann", "bob")
    ann.talk(7)
    ann.leave()
    bob.leave()
    past = world.context.media.past
    received, sent = past.received["audio"], past.sent["audio"]
    assert (received.packets, sent.packets) == (7, 7)
    assert received.octets == sent.octets > 0
