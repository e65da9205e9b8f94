"""The TURN client against a strict server, on a clock of the test's own."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import BadPacket, LocalError
from sft.webrtc import stun
from sft.webrtc import turn_messages as messages
from sft.webrtc.turn import MAX_CHANNELS, MAX_HELD, MAX_PERMISSIONS, TurnClient
from sft.webrtc.turn_messages import STATES, TurnState
from sft.webrtc.turn_stream import TurnStream
from support.turn_server import MAPPED, PASSWORD, RELAYED, USER, TurnServer

PEER = ("192.0.2.7", 5000)
OTHER = ("192.0.2.8", 5000)
CHECK = bytes(20)
MEDIA = b"\x80media"


class Talk:
    """A client, a server, and what passes between them."""

    def __init__(
        self, *, stream: bool = False, lifetime: int = 600, password: str = PASSWORD, loss: float = 0.0
    ) -> None:
        self.random = random.Random(1)
        self.client = TurnClient(USER, password, self.random.randbytes, stream=stream, lifetime=lifetime)
        self.server = TurnServer(stream=stream, lifetime=lifetime)
        self.now = 100.0
        self.loss = loss

    def start(self) -> Talk:
        self.client.start(self.now)
        self.settle()
        return self

    def settle(self) -> None:
        while sent := self.client.datagrams():
            for data in sent:
                if self.random.random() >= self.loss:
                    for answer in self.server.receive(data, self.now):
                        self.client.receive_untrusted(answer, self.now)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        self.settle()
        while (when := self.client.deadline) is not None and when <= end:
            self.now = max(self.now, when)
            self.client.handle_timeout(self.now)
            self.settle()
        self.now = self.server.now = end

    def send(self, data: bytes, peer: tuple[str, int] = PEER) -> None:
        framed = self.client.wrap(data, peer)
        if framed is not None:
            self.server.receive(framed, self.now)
        else:
            self.client.send(data, peer, self.now)
        self.settle()

    def from_peer(self, data: bytes, peer: tuple[str, int] = PEER) -> list[tuple[bytes, object]]:
        for message in self.server.from_peer(data, peer):
            self.client.receive_untrusted(message, self.now)
        return list(self.client.received())


@pytest.fixture(params=[False, True], ids=["datagrams", "stream"])
def talk(request: pytest.FixtureRequest) -> Talk:
    return Talk(stream=request.param).start()


def test_an_allocation_is_made_after_one_challenge(talk: Talk) -> None:
    assert (talk.client.relayed, talk.client.mapped) == (RELAYED, MAPPED)
    assert talk.server.requests == [messages.ALLOCATE] * 2


def test_datagrams_wait_for_the_permission_and_then_flow_both_ways(talk: Talk) -> None:
    talk.client.send(CHECK, PEER, talk.now)
    talk.client.send(CHECK + b"2", PEER, talk.now)
    assert talk.server.relayed == []
    talk.settle()
    assert talk.server.relayed == [(CHECK, PEER), (CHECK + b"2", PEER)]
    assert talk.from_peer(b"answer") == [(b"answer", PEER)]
    assert talk.from_peer(b"stranger", OTHER) == []
    assert talk.server.dropped == 1


def test_a_host_that_was_permitted_may_speak_first(talk: Talk) -> None:
    talk.client.permit(PEER[0], talk.now)
    talk.settle()
    assert talk.from_peer(CHECK, (PEER[0], 9)) == [(CHECK, (PEER[0], 9))]


def test_checks_get_no_channel_and_media_does(talk: Talk) -> None:
    for _ in range(3):
        talk.send(CHECK)
    assert talk.server.channels == {}
    talk.send(MEDIA)
    assert [address for address, _ in talk.server.channels.values()] == [PEER]
    before = talk.server.indications
    talk.send(MEDIA * 3)
    assert talk.server.indications == before
    assert talk.server.relayed[-1] == (MEDIA * 3, PEER)
    assert talk.from_peer(b"odd size") == [(b"odd size", PEER)]
    assert talk.from_peer(b"") == [(b"", PEER)]


def test_allocation_permission_and_channel_live_as_long_as_they_are_used(talk: Talk) -> None:
    for _ in range(200):
        talk.send(MEDIA)
        talk.run(30)
    assert talk.server.dropped == 0
    assert len(talk.server.relayed) == 200
    assert len(talk.server.channels) == 1
    assert talk.from_peer(b"still there") == [(b"still there", PEER)]


def test_a_permission_nobody_uses_is_let_go(talk: Talk) -> None:
    talk.client.permit(OTHER[0], talk.now)
    talk.settle()
    talk.run(1200)
    assert talk.server.requests.count(messages.CREATE_PERMISSION) == 1
    assert talk.server.expires is not None


@pytest.mark.parametrize("lifetime", [2, 30, 3600])
def test_the_allocation_is_refreshed_whatever_lifetime_the_server_grants(lifetime: int) -> None:
    talk = Talk(lifetime=lifetime).start()
    for _ in range(50):
        talk.run(lifetime / 3)
        assert talk.server.expires is not None
        assert talk.server.expires > talk.now
    assert talk.client.failed is None


def test_a_stale_nonce_is_replaced(talk: Talk) -> None:
    talk.server.nonce = b"new"
    talk.send(CHECK)
    assert talk.server.relayed == [(CHECK, PEER)]
    talk.server.refusals[messages.REFRESH] = [438, 438]
    talk.run(600)
    assert talk.client.failed is None


def test_a_server_that_finds_every_nonce_stale_is_left() -> None:
    talk = Talk()
    talk.server.refusals[messages.ALLOCATE] = [438] * 100
    talk.start()
    assert talk.client.failed is not None
    assert talk.client.failed.code == 438
    assert len(talk.server.requests) < 6


def test_wrong_credentials_are_not_tried_again() -> None:
    talk = Talk(password="wrong").start()
    assert talk.client.failed is not None
    assert talk.client.failed.code == 401
    assert talk.server.requests == [messages.ALLOCATE] * 2
    assert talk.client.deadline is None


@pytest.mark.parametrize("code", [400, 403, 437, 440, 441, 442, 486, 500, 508])
def test_a_refused_allocation_is_a_failure_with_its_code(code: int) -> None:
    talk = Talk()
    talk.server.refusals[messages.ALLOCATE] = [code]
    talk.start()
    assert talk.client.failed is not None
    assert talk.client.failed.code == code
    assert talk.client.relayed is None


def test_another_server_is_named() -> None:
    talk = Talk()
    talk.server.refusals[messages.ALLOCATE] = [300]
    talk.start()
    assert talk.client.failed is not None
    assert talk.client.failed.alternate == talk.server.alternate


@pytest.mark.parametrize("method", [messages.REFRESH, messages.CREATE_PERMISSION, messages.CHANNEL_BIND])
def test_an_allocation_the_server_forgot_is_lost(talk: Talk, method: int) -> None:
    talk.send(MEDIA)
    talk.server.expires = None
    talk.run(600)
    assert talk.client.failed is not None
    assert talk.client.failed.code == 437
    assert talk.client.wrap(MEDIA, PEER) is None


def test_a_forbidden_peer_costs_only_itself(talk: Talk) -> None:
    talk.server.refusals[messages.CREATE_PERMISSION] = [403]
    talk.send(CHECK)
    talk.send(CHECK, OTHER)
    assert talk.server.relayed == [(CHECK, OTHER)]


def test_without_a_channel_indications_go_on(talk: Talk) -> None:
    talk.server.refusals[messages.CHANNEL_BIND] = [508]
    for _ in range(3):
        talk.send(MEDIA)
    assert talk.server.relayed == [(MEDIA, PEER)] * 3
    assert talk.server.requests.count(messages.CHANNEL_BIND) == 1


def test_closing_gives_the_allocation_back(talk: Talk) -> None:
    talk.send(MEDIA)
    talk.client.close(talk.now)
    talk.settle()
    assert talk.server.expires is None
    assert talk.client.deadline is None
    talk.client.close(talk.now)
    talk.client.send(MEDIA, PEER, talk.now)
    assert talk.client.datagrams() == []


def test_a_silent_server_is_asked_seven_times_and_then_left() -> None:
    talk = Talk(loss=1.0)
    talk.client.start(talk.now)
    sent = 0
    while (when := talk.client.deadline) is not None:
        sent += len(talk.client.datagrams())
        talk.now = when
        talk.client.handle_timeout(talk.now)
    assert sent == 7
    assert talk.now == 139.5
    assert talk.client.failed is not None
    assert talk.client.failed.code is None


def test_several_requests_without_an_answer_are_one_failure() -> None:
    talk = Talk().start()
    talk.loss = 1.0
    for number in range(3):
        talk.client.permit(f"192.0.2.{number}", talk.now)
    talk.client._refresh_at = talk.now
    talk.run(60)
    assert talk.client.failed is not None
    assert talk.client.deadline is None


def test_requests_are_repeated_when_half_of_them_are_lost() -> None:
    talk = Talk(loss=0.5).start()
    talk.run(60)
    assert talk.client.relayed == RELAYED


def test_peers_and_channels_are_bounded(talk: Talk) -> None:
    for number in range(200):
        talk.send(MEDIA, (f"192.0.2.{number % 250}", number + 1))
        talk.send(MEDIA, PEER)
    assert len(talk.client._permissions) == MAX_PERMISSIONS
    assert len(talk.client._channels) == MAX_CHANNELS
    for _ in range(50):
        talk.client.send(CHECK, ("192.0.2.1", 1), talk.now)
    assert all(len(one.held) <= MAX_HELD for one in talk.client._permissions.values())


def test_an_answer_nobody_vouches_for_is_refused() -> None:
    talk = Talk()
    talk.client.start(talk.now)
    [request] = talk.client.datagrams()
    id = stun.parse_untrusted(request).transaction
    forged = stun.write(stun.Kind.SUCCESS, messages.ALLOCATE, id, [], b"guess")
    with pytest.raises(BadPacket):
        talk.client.receive_untrusted(forged, talk.now)
    assert talk.client.relayed is None


def test_a_client_is_started_once(talk: Talk) -> None:
    with pytest.raises(LocalError):
        talk.client.start(talk.now)


def test_the_table_knows_every_state() -> None:
    assert set(STATES) == set(TurnState)


@given(st.lists(st.binary(max_size=300), max_size=20), st.data())
def test_a_stream_is_cut_into_the_same_messages_however_it_arrives(
    payloads: list[bytes], data: st.DataObject
) -> None:
    sent = []
    stream = b""
    for number, payload in enumerate(payloads):
        if number % 2:
            message = stun.write(
                stun.Kind.INDICATION, messages.SEND, bytes(12), [(messages.DATA_ATTRIBUTE, payload)]
            )
            stream += message
        else:
            message = (0x4000 + number).to_bytes(2, "big") + len(payload).to_bytes(2, "big") + payload
            stream += message + bytes(-len(message) & 3)
        sent.append(message)
    reader = TurnStream()
    received = []
    while stream:
        size = data.draw(st.integers(1, 400))
        received += reader.feed_untrusted(stream[:size])
        stream = stream[size:]
    assert received == sent


@given(st.lists(st.binary(max_size=100)))
def test_a_garbled_stream_is_of_no_use_and_keeps_nothing(more: list[bytes]) -> None:
    reader = TurnStream()
    for chunk in (b"\xff" * 4, *more):
        with pytest.raises(BadPacket):
            reader.feed_untrusted(chunk)
        assert not reader._buffer


@given(st.binary(max_size=100))
def test_garbage_on_the_stream_ends_the_allocation(garbage: bytes) -> None:
    talk = Talk(stream=True).start()
    with pytest.raises(BadPacket):
        talk.client.receive_untrusted(b"\xff" * 4 + garbage, talk.now)
    assert talk.client.failed is not None
