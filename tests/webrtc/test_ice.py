from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft.errors import BadPacket
from sft.model import Drop
from sft.webrtc import stun
from sft.webrtc.ice import MAX_PATHS, LiteAgent, Path, local_ufrag_untrusted

BASE: Any = "base"
HOME = ("192.0.2.7", 40000)
AWAY = ("198.51.100.9", 50000)


class Checker:
    """A lite agent, and a controlling agent's checks of it."""

    def __init__(self) -> None:
        self.agent = LiteAgent(lambda size: bytes(range(size)))
        self.now = 5.0

    def make(
        self,
        *extra: tuple[int, bytes],
        username: str | None = None,
        key: str | None = None,
        nominate: bool = False,
        role: int = stun.ICE_CONTROLLING,
    ) -> bytes:
        attributes = [
            (stun.USERNAME, (username or f"{self.agent.ufrag}:peer").encode()),
            (role, bytes(8)),
            *extra,
        ]
        if nominate:
            attributes.append((stun.USE_CANDIDATE, b""))
        return stun.write(
            stun.Kind.REQUEST, stun.BINDING, bytes(12), attributes, (key or self.agent.pwd).encode()
        )

    def take(self, data: bytes, address: tuple[str, int] = HOME) -> stun.StunMessage | None:
        """The agent's answer."""
        self.agent.receive_untrusted(BASE, data, address, self.now)
        answers = self.agent.datagrams()
        for base, answer, to in answers:
            assert (base, to) == (BASE, address)
            message = stun.parse_untrusted(answer)
            assert stun.has_integrity(message, answer, self.agent.pwd.encode())
            return message
        return None


@pytest.fixture
def checker() -> Checker:
    return Checker()


def code_of(message: stun.StunMessage | None) -> int:
    assert message is not None
    assert message.kind is stun.Kind.ERROR
    value = message.attributes[stun.ERROR_CODE]
    return value[2] * 100 + value[3]


def test_credentials_have_the_lengths_and_letters_of_rfc_8839(checker: Checker) -> None:
    assert (len(checker.agent.ufrag), len(checker.agent.pwd)) == (8, 24)
    assert "=" not in checker.agent.ufrag + checker.agent.pwd


def test_a_check_is_answered_with_where_it_came_from_before_the_sdp_answer(checker: Checker) -> None:
    answer = checker.take(checker.make())
    assert answer is not None
    assert answer.kind is stun.Kind.SUCCESS
    value = answer.attributes[stun.XOR_MAPPED_ADDRESS]
    assert stun.read_xor_address_untrusted(value, answer.transaction) == HOME
    assert checker.agent.last_alive == 5.0


def test_an_unnominated_path_serves_dtls_but_not_media(checker: Checker) -> None:
    checker.take(checker.make())
    assert checker.agent.selected is None
    assert checker.agent.path == Path(BASE, HOME)
    assert checker.agent.is_validated(BASE, HOME)
    assert not checker.agent.is_validated(BASE, AWAY)
    assert not checker.agent.is_validated("other base", HOME)  # type: ignore[arg-type]


def test_use_candidate_selects_and_a_later_one_from_elsewhere_moves(checker: Checker) -> None:
    checker.take(checker.make(nominate=True))
    checker.take(checker.make(), AWAY)
    assert checker.agent.selected == Path(BASE, HOME)
    checker.take(checker.make(nominate=True), AWAY)
    assert checker.agent.selected == Path(BASE, AWAY)


@pytest.mark.parametrize(
    ("username", "key"),
    [("wrong:peer", None), ("peer", None), ("wrong", None), (None, "wrong password")],
)
def test_a_check_with_wrong_credentials_gets_no_answer(
    checker: Checker, username: str | None, key: str | None
) -> None:
    with pytest.raises(BadPacket) as caught:
        checker.take(checker.make(username=username, key=key, nominate=True))
    assert caught.value.reason is Drop.STUN_INTEGRITY
    assert checker.agent.datagrams() == []
    assert (checker.agent.path, checker.agent.last_alive) == (None, None)


def test_a_check_without_credentials_gets_no_answer(checker: Checker) -> None:
    data = stun.write(stun.Kind.REQUEST, stun.BINDING, bytes(12), [(stun.PRIORITY, bytes(4))])
    with pytest.raises(BadPacket) as caught:
        checker.take(data)
    assert caught.value.reason is Drop.STUN_INTEGRITY
    assert checker.agent.datagrams() == []


def test_once_known_the_remote_ufrag_has_to_match(checker: Checker) -> None:
    checker.agent.set_remote("peer", "password", (), 1.0)
    assert checker.take(checker.make()) is not None
    with pytest.raises(BadPacket):
        checker.take(checker.make(username=f"{checker.agent.ufrag}:other"))


def test_a_controlled_peer_is_told_to_take_control(checker: Checker) -> None:
    answer = checker.take(checker.make(role=stun.ICE_CONTROLLED, nominate=True))
    assert code_of(answer) == 487
    assert checker.agent.path is None


def test_an_unknown_required_attribute_is_named(checker: Checker) -> None:
    answer = checker.take(checker.make((0x7001, b"?")))
    assert code_of(answer) == 420
    assert answer is not None
    assert answer.attributes[stun.UNKNOWN_ATTRIBUTES] == b"\x70\x01"


def test_an_unknown_optional_attribute_is_ignored(checker: Checker) -> None:
    answer = checker.take(checker.make((0xC057, bytes(4))))
    assert answer is not None
    assert answer.kind is stun.Kind.SUCCESS


def test_an_indication_is_no_sign_of_life(checker: Checker) -> None:
    assert checker.take(stun.write(stun.Kind.INDICATION, stun.BINDING, bytes(12), [])) is None
    assert checker.agent.last_alive is None


@pytest.mark.parametrize("kind", [stun.Kind.SUCCESS, stun.Kind.ERROR])
def test_answers_to_what_was_never_asked_are_dropped(checker: Checker, kind: stun.Kind) -> None:
    with pytest.raises(BadPacket) as caught:
        checker.take(stun.write(kind, stun.BINDING, bytes(12), [], checker.agent.pwd.encode()))
    assert caught.value.reason is Drop.STUN_UNEXPECTED


def test_a_peer_that_changes_ports_for_ever_keeps_a_bounded_number_of_paths(checker: Checker) -> None:
    checker.take(checker.make(nominate=True))
    for port in range(1000):
        checker.take(checker.make(), ("203.0.113.1", port))
    validated = [port for port in range(1000) if checker.agent.is_validated(BASE, ("203.0.113.1", port))]
    assert validated == list(range(1000 - MAX_PATHS + 1, 1000))
    assert checker.agent.is_validated(BASE, HOME), "the selected path is never forgotten"


def test_the_ufrag_of_a_first_check_is_found_without_knowing_the_peer(checker: Checker) -> None:
    assert local_ufrag_untrusted(checker.make()) == checker.agent.ufrag
    with pytest.raises(BadPacket):
        local_ufrag_untrusted(checker.make(username="no colon"))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_but_bad_packet_and_get_no_answer(data: bytes) -> None:
    checker = Checker()
    try:
        checker.agent.receive_untrusted(BASE, data, HOME, 0.0)
    except BadPacket:
        pass
    assert checker.agent.datagrams() == []
    assert checker.take(checker.make()) is not None
