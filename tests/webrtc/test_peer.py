from __future__ import annotations

import gc
import weakref
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pylibsrtp import Session

from sft.errors import BadPacket, LocalError
from sft.model import Drop
from sft.webrtc import stun
from sft.webrtc.peer import ChannelOpen, Closed, Connected, Message, PathSelected
from sft.webrtc.srtp import inbound_session, outbound_session

HOME = ("192.0.2.7", 40000)
AWAY = ("198.51.100.9", 50000)


def reasons(link: Any) -> list[Drop]:
    return [fault.reason for fault in link.faults]


def test_a_join_selects_a_path_then_connects_then_opens_the_channel(link: Any) -> None:
    link.join()
    path, connected, channel = link.events
    assert path == PathSelected("base", HOME)  # type: ignore[arg-type]
    assert isinstance(connected, Connected)
    assert channel == ChannelOpen()
    assert link.faults == []
    assert set(link.sent_to) == {HOME}
    assert link.peer.deadline is None


def test_only_an_authenticated_check_proves_that_an_address_is_the_peers(joined: Any) -> None:
    """What transports whose peers share a port remember an address by."""
    peer, now = joined.peer, joined.now
    joined.client.check()
    (check,) = joined.client.datagrams()
    assert peer.receive_untrusted("base", check, AWAY, now) is True
    forged = check[:-30] + bytes(30)
    with pytest.raises(BadPacket):
        peer.receive_untrusted("base", forged, AWAY, now)
    keep_alive = stun.write(stun.Kind.INDICATION, stun.BINDING, bytes(12), [])
    assert peer.receive_untrusted("base", keep_alive, AWAY, now) is False
    joined.client.send("a message", now)
    for data in joined.client.datagrams():
        assert peer.receive_untrusted("base", data, HOME, now) is False
    peer.close(now)
    assert peer.receive_untrusted("base", check, AWAY, now) is False


def test_the_keys_of_both_sides_fit_each_other(joined: Any) -> None:
    (connected,) = joined.of(Connected)
    packet = bytes.fromhex("806f0001000000000badcafe") + b"frame"
    up: Session = outbound_session(joined.client.dtls.srtp)
    assert inbound_session(connected.srtp).unprotect(up.protect(packet)) == packet
    down: Session = outbound_session(connected.srtp)
    assert inbound_session(joined.client.dtls.srtp).unprotect(down.protect(packet)) == packet


def test_a_handshake_that_is_done_before_the_sdp_answer_waits_for_it(link: Any) -> None:
    link.client.set_remote(link.peer)
    link.client.check(nominate=False)
    link.pump()
    link.client.start_dtls(link.now)
    link.pump()
    assert link.client.dtls.srtp is not None, "for the client all is done"
    assert link.events == []
    link.peer.set_remote(link.client.answer(), link.now)
    link.pump()
    assert [type(event) for event in link.events] == [Connected, ChannelOpen]
    link.client.check()
    link.pump()
    assert link.events[-1] == PathSelected("base", HOME)


def test_a_client_that_is_dtls_server_is_served_too(support: ModuleType, contexts: Any) -> None:
    link = support.make_link(contexts, is_dtls_client=False)
    link.join()
    assert [type(event) for event in link.events] == [PathSelected, Connected, ChannelOpen]
    assert list(link.client.sctp._transport._data_channels) == [2]
    link.client.send("up", link.now)
    link.pump()
    assert link.texts == ["up"]


def test_messages_go_both_ways(joined: Any) -> None:
    joined.peer.send_message("down", joined.now)
    joined.client.send("up", joined.now)
    joined.pump()
    assert joined.client.messages == ["down"]
    assert joined.texts == ["up"]
    assert joined.peer.buffered == 0


@pytest.mark.parametrize("every", [3, 5, 11])
def test_messages_of_30_kilobytes_arrive_with_loss(joined: Any, every: int) -> None:
    joined.lose = lambda number, data: number % every == 0
    joined.peer.send_message("d" * 30000, joined.now)
    joined.client.send("u" * 30000, joined.now)
    joined.run_until(lambda: joined.client.messages == ["d" * 30000] and joined.texts == ["u" * 30000])


def test_no_message_is_sent_before_the_channel_is_open(link: Any) -> None:
    with pytest.raises(LocalError):
        link.peer.send_message("too early", link.now)


def test_dtls_from_where_no_check_came_is_dropped(link: Any) -> None:
    link.client.set_remote(link.peer)
    link.client.start_dtls(link.now)
    link.pump()
    assert reasons(link) == [Drop.DTLS_NO_PATH]
    assert link.peer.datagrams() == []


def test_another_certificate_than_the_answer_announced_closes(link: Any) -> None:
    link.client.set_remote(link.peer)
    link.peer.set_remote(link.client.answer([("sha-256", "AB:CD")]), link.now)
    link.client.check()
    link.pump()
    link.client.start_dtls(link.now)
    link.pump()
    assert link.of(Connected) == []
    assert link.events[-1] == Closed("the certificate does not match the fingerprint")
    assert reasons(link) == [Drop.DTLS_FINGERPRINT]


def test_another_certificate_than_a_late_answer_announces_closes(link: Any) -> None:
    link.client.set_remote(link.peer)
    link.client.check()
    link.pump()
    link.client.start_dtls(link.now)
    link.pump()
    link.peer.set_remote(link.client.answer([("sha-256", "AB:CD")]), link.now)
    link.pump()
    assert link.of(Connected) == []
    assert isinstance(link.events[-1], Closed)


def test_a_peer_that_moves_takes_the_path_with_it(joined: Any) -> None:
    joined.address = AWAY
    joined.client.check()
    joined.pump()
    assert joined.events[-1] == PathSelected("base", AWAY)
    joined.sent_to.clear()
    joined.peer.send_message("to your new place", joined.now)
    joined.pump()
    assert set(joined.sent_to) == {AWAY}
    assert joined.client.messages == ["to your new place"]


def test_nobody_moves_the_path_without_the_password(joined: Any) -> None:
    joined.client.remote_pwd = "guessed"
    joined.address = AWAY
    joined.client.check()
    joined.pump()
    assert reasons(joined) == [Drop.STUN_INTEGRITY]
    assert len(joined.of(PathSelected)) == 1


def test_a_nomination_repeated_is_one_event(joined: Any) -> None:
    for _ in range(5):
        joined.client.check()
        joined.pump()
    assert len(joined.of(PathSelected)) == 1
    assert len(joined.client.answers) == 6


def test_only_authenticated_packets_are_signs_of_life(joined: Any) -> None:
    before = joined.peer.last_alive
    joined.now += 30.0
    joined.deliver(bytes.fromhex("000100002112a442") + bytes(12))
    joined.deliver(b"\x17\xfe\xfd\x00\x01" + bytes(6) + b"\x00\x08" + bytes(8))
    joined.client.remote_pwd, password = "guessed", joined.client.remote_pwd
    joined.client.check()
    joined.pump()
    assert joined.peer.last_alive == before
    joined.client.remote_pwd = password
    joined.client.check()
    joined.pump()
    assert joined.peer.last_alive == joined.now
    joined.now += 1.0
    joined.client.send("alive", joined.now)
    joined.pump()
    assert joined.peer.last_alive == joined.now


def test_before_anything_came_the_last_sign_of_life_is_the_beginning(link: Any) -> None:
    assert link.peer.last_alive == link.now


def test_closing_tells_the_client_and_ends_everything(joined: Any) -> None:
    joined.peer.close(joined.now)
    joined.peer.close(joined.now)
    joined.pump()
    assert joined.client.closed is not None
    assert joined.of(Closed) == []
    assert joined.peer.deadline is None
    joined.client.check()
    joined.pump()
    joined.peer.handle_timeout(joined.now + 100.0)
    joined.peer.set_remote(joined.client.answer(), joined.now)
    assert joined.peer.datagrams() == []
    with pytest.raises(LocalError):
        joined.peer.send_message("too late", joined.now)


def test_a_client_that_closes_is_noticed_once(joined: Any) -> None:
    joined.client.close(joined.now)
    joined.pump()
    assert joined.of(Closed) == [Closed("SCTP association ended by the peer")]
    assert joined.peer.deadline is None


def test_a_close_notify_alone_is_enough(joined: Any) -> None:
    joined.client.dtls.close()
    joined.client.outbox += joined.client.dtls.datagrams()
    joined.pump()
    assert joined.of(Closed) == [Closed("DTLS close_notify")]


def test_closing_before_anything_happened_is_quiet(link: Any) -> None:
    link.peer.close(link.now)
    assert link.peer.datagrams() == []
    assert link.peer.events() == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Drop.EMPTY),
        (b"\x10zrtp", Drop.UNKNOWN_PROTOCOL),
        (b"\x80\x6f\x00\x01", Drop.UNKNOWN_PROTOCOL),
        (b"\xff", Drop.UNKNOWN_PROTOCOL),
        (b"\x00\x01", Drop.STUN_MALFORMED),
        (b"\x16\xfe\xfd", Drop.DTLS_MALFORMED),
    ],
)
def test_each_drop_has_its_reason(joined: Any, data: bytes, reason: Drop) -> None:
    with pytest.raises(BadPacket) as caught:
        joined.peer.receive_untrusted("base", data, HOME, joined.now)
    assert caught.value.reason is reason


def test_a_role_conflict_is_answered_and_selects_nothing(link: Any) -> None:
    link.client.set_remote(link.peer)
    link.client.outbox.append(link.client.make_check(role=stun.ICE_CONTROLLED))
    link.pump()
    assert [message.kind for message in link.client.answers] == [stun.Kind.ERROR]
    assert link.of(PathSelected) == []


def test_a_peer_leaves_no_cycles_that_keep_it_alive(support: ModuleType, contexts: Any) -> None:
    link = support.make_link(contexts)
    link.join()
    link.client.close(link.now)
    link.pump()
    gone = weakref.ref(link.peer._sctp._transport)
    del link
    gc.collect()
    assert gone() is None


GARBAGE = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.builds(
            bytes.__add__,
            st.sampled_from([b"\x00\x01", b"\x16\xfe\xfd\x00\x00", b"\x17\xfe\xfd\x00\x01"]),
            st.binary(max_size=80),
        ),
    ),
    max_size=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stage=st.sampled_from(["new", "checked", "joined"]), garbage=GARBAGE)
def test_garbage_at_any_stage_leaves_a_peer_that_works(
    support: ModuleType, contexts: Any, stage: str, garbage: list[bytes]
) -> None:
    link = support.make_link(contexts)
    link.client.set_remote(link.peer)
    if stage != "new":
        link.client.check()
        link.pump()
    if stage == "joined":
        link.join()
    for data in garbage:
        link.deliver(data)
    if stage != "joined":
        link.join()
    link.client.send("still here?", link.now)
    link.pump()
    assert link.texts == ["still here?"]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packets=st.lists(st.binary(min_size=1, max_size=120), max_size=6))
def test_garbage_inside_dtls_leaves_a_peer_that_works(
    support: ModuleType, contexts: Any, packets: list[bytes]
) -> None:
    link = support.make_link(contexts)
    link.join()
    for packet in packets:
        link.client.send_raw(packet)
    link.pump()
    assert reasons(link) == [Drop.SCTP_MALFORMED] * len(packets)
    link.client.send("still here?", link.now)
    link.pump()
    assert link.texts == ["still here?"]
    assert link.of(Message) == [Message("still here?")]
