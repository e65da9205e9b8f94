"""Full agents against each other and against a lite one, on a network with loss, NATs and cuts."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sft.errors import BadPacket, LocalError
from sft.model import Candidate, Drop
from sft.webrtc import stun
from sft.webrtc.ice import FullAgent, LiteAgent, Path
from sft.webrtc.ice.states import AGENT, PAIR, AgentEvent, AgentState, PairEvent, PairState, next_state
from support.network import Nat, Network

HOST, REFLEXIVE, RELAY = 126, 100, 0
Agent = FullAgent | LiteAgent


def candidate(host: str, port: int, kind: int = HOST, rank: int = 65535) -> Candidate:
    names = {HOST: "host", REFLEXIVE: "srflx", RELAY: "relay"}
    priority = kind << 24 | rank << 8 | 255
    return Candidate(
        f"{kind}{host}".replace(":", "").replace(".", ""), "udp", priority, host, port, names[kind]
    )


class Side:
    """An agent with its ports."""

    def __init__(self, net: Network, agent: Agent) -> None:
        self.net = net
        self.agent = agent
        self.ends: list[tuple[Any, Candidate]] = []
        self.offered: list[Candidate] = []
        self.drops: list[Drop] = []
        net.engines.append(agent)

    def bind(
        self, host: str, port: int, kind: int = HOST, behind: Nat | None = None, rank: int = 65535
    ) -> None:
        base = self.net.port(host, port, self.deliver, behind)
        self.ends.append((base, candidate(host, port, kind, rank)))
        self.offered.append(candidate(host, port, kind, rank))

    def deliver(self, base: Any, data: bytes, address: Any, now: float) -> None:
        try:
            self.agent.receive_untrusted(base, data, address, now)
        except BadPacket as bad:
            self.drops.append(bad.reason)

    def meet(self, other: Side, candidates: list[Candidate] | None = None) -> None:
        self.agent.set_local(self.ends)
        offered = other.offered if candidates is None else candidates
        self.agent.set_remote(other.agent.ufrag, other.agent.pwd, offered, self.net.now)

    @property
    def remote(self) -> str | None:
        """Where the selected path leads."""
        return None if self.agent.selected is None else self.agent.selected.address[0]


class Couple:
    def __init__(self, seed: int = 1, *, controlled: bool = True, **network: float) -> None:
        """``controlled``: the right one is, as it should be; otherwise both want control."""
        self.net = Network(seed=seed, **network)  # type: ignore[arg-type]  # seed is not among them
        left, right = random.Random(seed).randbytes, random.Random(seed + 1).randbytes
        self.left = Side(self.net, FullAgent(left))
        self.right = Side(self.net, FullAgent(right, controlling=not controlled))

    def meet(self) -> None:
        self.left.meet(self.right)
        self.right.meet(self.left)

    @property
    def connected(self) -> bool:
        left, right = self.left.agent.selected, self.right.agent.selected
        return left is not None and right is not None

    def connect(self, seconds: float = 10) -> float:
        """How long it took."""
        begin = self.net.now
        self.meet()
        self.net.run(seconds, lambda: self.connected)
        assert self.connected
        return self.net.now - begin


@pytest.fixture
def couple() -> Couple:
    pair = Couple()
    pair.left.bind("192.0.2.1", 1)
    pair.right.bind("198.51.100.2", 2)
    return pair


def test_two_agents_with_public_addresses_connect_at_once(couple: Couple) -> None:
    assert couple.connect() < 0.5
    assert (couple.left.remote, couple.right.remote) == ("198.51.100.2", "192.0.2.1")
    assert couple.left.agent.last_alive == pytest.approx(couple.net.now, abs=0.1)


def test_ipv6_candidates_meet_ipv6_candidates_only() -> None:
    couple = Couple()
    couple.left.bind("192.0.2.1", 1)
    couple.left.bind("2001:db8::1", 1)
    couple.left.bind("fe80::1", 1)
    couple.right.bind("2001:db8::2", 2)
    couple.connect()
    assert couple.right.remote == "2001:db8::1"
    couple.net.run(20)
    assert couple.connected


def test_addresses_in_another_spelling_are_recognised() -> None:
    couple = Couple()
    couple.left.bind("2001:db8::1", 1)
    couple.right.bind("2001:db8::2", 2)
    couple.left.meet(couple.right, [candidate("2001:0DB8:0:0::0002", 2)])
    couple.right.meet(couple.left)
    couple.net.run(5)
    assert couple.left.remote == "2001:db8::2"
    assert len(couple.left.agent._list.pairs) == 1


def test_the_best_pair_that_works_is_nominated() -> None:
    couple = Couple()
    couple.left.bind("192.0.2.1", 1, RELAY)
    couple.left.bind("192.0.2.2", 1)
    couple.left.bind("192.0.2.3", 1, REFLEXIVE)
    couple.right.bind("198.51.100.2", 2)
    couple.connect()
    assert couple.right.remote == "192.0.2.2"


def test_a_pair_that_works_does_not_wait_long_for_better_ones_that_do_not() -> None:
    couple = Couple()
    couple.left.bind("192.0.2.1", 1, RELAY)
    couple.left.bind("192.0.2.2", 1)
    couple.right.bind("198.51.100.2", 2)
    couple.net.blocked = lambda source, to: "192.0.2.2" in (source[0], to[0])
    assert couple.connect() < 1.0
    assert couple.right.remote == "192.0.2.1"


@pytest.mark.parametrize(
    "candidates", [[], [candidate("a1b2.local", 5), Candidate("t", "tcp", 1, "198.51.100.2", 9)]]
)
def test_a_peer_whose_candidates_are_of_no_use_is_met_when_it_comes(
    couple: Couple, candidates: list[Candidate]
) -> None:
    couple.left.meet(couple.right, candidates)
    couple.right.meet(couple.left)
    couple.net.run(5)
    assert couple.left.remote == "198.51.100.2"


def test_checks_that_come_before_the_answer_count_after_it(couple: Couple) -> None:
    couple.right.meet(couple.left)
    couple.net.run(1)
    assert couple.left.agent.path is not None, "DTLS may answer an authenticated peer"
    assert couple.left.agent.is_validated(couple.left.agent.path.base, couple.left.agent.path.address)
    assert couple.left.agent.selected is None
    couple.left.meet(couple.right, [])
    couple.net.run(2)
    assert couple.connected


def test_both_behind_filtering_nats_with_reflexive_candidates() -> None:
    couple = Couple()
    left_nat, right_nat = couple.net.nat("203.0.113.1"), couple.net.nat("203.0.113.2")
    couple.left.bind("10.0.0.1", 1, behind=left_nat)
    couple.right.bind("10.0.0.1", 2, behind=right_nat)
    stranger = ("192.0.2.200", 3478)  # a STUN server that told them their mapped addresses
    for side, nat in ((couple.left, left_nat), (couple.right, right_nat)):
        base, _ = side.ends[0]
        host, port = nat.out((base.host, base.port), stranger)
        side.offered.append(candidate(host, port, REFLEXIVE))
    couple.connect()
    assert (couple.left.remote, couple.right.remote) == ("203.0.113.2", "203.0.113.1")


def test_a_client_behind_a_nat_is_learned_as_peer_reflexive() -> None:
    couple = Couple()
    couple.left.bind("192.0.2.1", 1)
    couple.right.bind("10.0.0.2", 2, behind=couple.net.nat("203.0.113.2"))
    couple.connect()
    assert couple.left.remote == "203.0.113.2"


@pytest.mark.parametrize("seed", range(20))
def test_a_third_of_all_packets_lost_delays_but_does_not_prevent(seed: int) -> None:
    couple = Couple(seed, loss=0.33)
    couple.left.bind("192.0.2.1", 1)
    couple.left.bind("192.0.2.9", 1, RELAY)
    couple.right.bind("198.51.100.2", 2)
    couple.connect(30)
    couple.net.loss = 0.1
    couple.net.run(120)
    assert couple.connected


@pytest.mark.parametrize("seed", range(8))
def test_a_role_conflict_is_settled_by_the_tie_breaker(seed: int) -> None:
    couple = Couple(seed, controlled=False)
    couple.left.bind("192.0.2.1", 1)
    couple.right.bind("198.51.100.2", 2)
    couple.connect()
    left, right = couple.left.agent, couple.right.agent
    assert isinstance(left, FullAgent)
    assert isinstance(right, FullAgent)
    assert left.controlling != right.controlling
    assert left.controlling == (left._tie_breaker >= right._tie_breaker)


def test_two_controlled_agents_settle_too() -> None:
    couple = Couple()
    couple.left.agent = FullAgent(random.Random(5).randbytes, controlling=False)
    couple.net.engines[0] = couple.left.agent
    couple.left.bind("192.0.2.1", 1)
    couple.right.bind("198.51.100.2", 2)
    couple.connect()
    assert couple.left.agent.controlling != couple.right.agent.controlling  # type: ignore[union-attr]  # both are full


def test_a_full_agent_connects_to_a_lite_one(couple: Couple) -> None:
    couple.right.agent = LiteAgent(random.Random(7).randbytes)
    couple.net.engines[1] = couple.right.agent
    couple.connect()
    assert couple.right.remote == "192.0.2.1"


def test_consent_is_asked_for_every_five_seconds_and_holds_the_path(couple: Couple) -> None:
    couple.connect()
    couple.net.run(1)
    before = couple.net.sent
    couple.net.run(300)
    assert couple.connected
    assert 2 * 2 * 50 - 20 <= couple.net.sent - before <= 2 * 2 * 75 + 20


def test_without_answers_consent_expires_after_thirty_seconds(couple: Couple) -> None:
    couple.connect()
    couple.net.run(60)
    couple.net.loss = 1.0
    last = couple.left.agent.last_alive
    assert last is not None
    couple.net.run(60, lambda: couple.left.agent.failed)
    assert couple.left.agent.failed == "consent expired"
    assert couple.left.agent.selected is None
    assert 24 <= couple.net.now - last <= 30.1
    assert couple.left.agent.deadline is None


def test_a_cut_of_twenty_seconds_is_survived(couple: Couple) -> None:
    couple.connect()
    couple.net.run(10)
    couple.net.loss = 1.0
    couple.net.run(20)
    couple.net.loss = 0.0
    couple.net.run(60)
    assert couple.connected
    assert couple.left.agent.failed is None


def test_a_peer_nobody_can_reach_is_given_up_but_not_too_early(couple: Couple) -> None:
    couple.net.loss = 1.0
    couple.meet()
    couple.net.run(39)
    assert couple.left.agent.failed is None
    couple.net.run(1)
    assert couple.left.agent.failed == "no path to the peer was found"


def test_first_sendings_keep_fifty_milliseconds_apart() -> None:
    couple = Couple()
    for number in range(1, 9):
        couple.left.bind(f"192.0.2.{number}", 1)
        couple.right.bind(f"198.51.100.{number}", 2)
    sent: list[float] = []
    couple.net.blocked = lambda source, to: not sent.append(couple.net.now)  # type: ignore[func-returns-value]  # it does
    couple.left.meet(couple.right)
    couple.net.run(0.49)
    assert len(sent) == 10
    gaps = [later - sooner for sooner, later in itertools.pairwise(sent)]
    assert min(gaps) > 0.049


def test_once_a_path_is_nominated_no_other_is_checked(couple: Couple) -> None:
    for number in range(20):
        couple.left.offered.append(candidate(f"192.0.2.{number + 100}", 9, RELAY, number))
        couple.right.offered.append(candidate(f"198.51.100.{number + 100}", 9, RELAY, number))
    couple.connect()
    couple.net.run(1)
    sent: list[str] = []
    couple.net.blocked = lambda source, to: sent.append(to[0]) is not None  # type: ignore[func-returns-value]  # never
    couple.net.run(60)
    assert set(sent) == {"192.0.2.1", "198.51.100.2"}


def test_losing_control_while_being_patient_is_no_reason_to_be_busy() -> None:
    couple = Couple()
    couple.left.bind("192.0.2.1", 1, RELAY)
    couple.left.bind("192.0.2.2", 1)
    couple.right.bind("198.51.100.2", 2)
    couple.net.blocked = lambda source, to: "192.0.2.2" in (source[0], to[0])
    couple.meet()
    left = couple.left.agent
    assert isinstance(left, FullAgent)
    couple.net.run(5, lambda: left._patience_until is not None)
    check = _request(left, couple.right.agent.ufrag, (stun.ICE_CONTROLLING, b"\xff" * 8))
    left.receive_untrusted(couple.left.ends[0][0], check, ("198.51.100.2", 2), couple.net.now)
    assert not left.controlling
    couple.net.run(10)


def test_a_peer_whose_nat_changed_its_port_is_followed() -> None:
    couple = Couple()
    nat = couple.net.nat("203.0.113.2")
    couple.left.bind("192.0.2.1", 1)
    couple.right.bind("10.0.0.2", 2, behind=nat)
    couple.connect()
    for _ in range(3):
        couple.net.run(10)
        nat.rebind()
        couple.net.run(10, lambda: nat.ports)  # the peer's consent checks come from its new port
        couple.net.run(5.5 * couple.net.delay)  # there, check and answer, nomination and answer
        selected = couple.left.agent.selected
        assert selected is not None
        assert selected.address == ("203.0.113.2", nat.ports["10.0.0.2", 2])
    couple.net.run(60)
    assert couple.left.agent.failed is None


@pytest.mark.parametrize(
    ("host", "takes_over"), [("198.51.100.2", True), ("198.51.100.77", False)], ids=["port", "address"]
)
def test_a_new_port_of_the_peer_takes_over_and_a_further_address_does_not(
    couple: Couple, host: str, takes_over: bool
) -> None:
    couple.connect()
    agent = couple.left.agent
    assert isinstance(agent, FullAgent)
    couple.net.port(host, 7, couple.right.deliver)  # where the peer answers
    check = _request(agent, couple.right.agent.ufrag)
    agent.receive_untrusted(couple.left.ends[0][0], check, (host, 7), couple.net.now)
    couple.net.run(0.2)
    assert agent._list.find(couple.left.ends[0][0], (host, 7)).is_valid  # type: ignore[union-attr]
    couple.net.run(20)
    assert agent.selected is not None
    assert (agent.selected.address == (host, 7)) is takes_over


def test_ice_restart_moves_to_new_credentials_and_uses_the_old_path_meanwhile(couple: Couple) -> None:
    couple.connect()
    old = couple.left.agent.selected
    again = Side(couple.net, FullAgent(random.Random(9).randbytes, controlling=False))
    couple.net.engines.remove(couple.right.agent)
    again.bind("198.51.100.3", 3)
    couple.left.meet(again)
    assert couple.left.agent.selected is old
    again.meet(couple.left)
    couple.net.run(3)
    assert couple.left.remote == "198.51.100.3"
    couple.net.run(60)
    assert couple.left.agent.failed is None


def test_the_same_answer_twice_changes_nothing(couple: Couple) -> None:
    couple.connect()
    selected = couple.left.agent.selected
    couple.meet()
    assert couple.left.agent.selected is selected
    couple.net.run(1)
    assert couple.left.agent.selected is selected


def test_a_tcp_connection_of_the_peer_is_the_last_choice() -> None:
    couple = Couple()
    couple.left.bind("192.0.2.1", 1, RELAY)
    couple.right.bind("198.51.100.2", 2)
    # An accepted connection: it is not among the ends, and the peer sends on it.
    couple.net.port("192.0.2.1", 443, couple.left.deliver)
    couple.right.meet(couple.left, [candidate("192.0.2.1", 1, RELAY), candidate("192.0.2.1", 443, HOST)])
    couple.left.meet(couple.right)
    couple.net.run(3)
    assert couple.left.agent.selected is not None
    assert couple.left.agent.selected.base.port == 1  # type: ignore[attr-defined]  # the network's


def test_a_peer_that_changes_its_address_without_end_does_not_grow_the_list(couple: Couple) -> None:
    couple.connect()
    agent = couple.left.agent
    assert isinstance(agent, FullAgent)
    base = couple.left.ends[0][0]
    for port in range(1000, 1200):
        check = _request(agent, couple.right.agent.ufrag)
        agent.receive_untrusted(base, check, ("203.0.113.77", port), couple.net.now)
        couple.net.run(0.06)
    assert len(agent._list.pairs) < 30
    assert couple.left.remote == "198.51.100.2"


def _request(
    agent: FullAgent, remote_ufrag: str, *extra: tuple[int, bytes], key: bytes | None = None
) -> bytes:
    attributes = [(stun.USERNAME, f"{agent.ufrag}:{remote_ufrag}".encode()), (stun.PRIORITY, b"nnnn"), *extra]
    return stun.write(
        stun.Kind.REQUEST, stun.BINDING, random.randbytes(12), attributes, key or agent.pwd.encode()
    )


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda agent: _request(agent, "peer", key=b"wrong"), Drop.STUN_INTEGRITY),
        (lambda agent: _request(agent, "peer", (stun.ICE_CONTROLLING, b"short")), Drop.STUN_MALFORMED),
        (
            lambda agent: stun.write(stun.Kind.SUCCESS, stun.BINDING, bytes(12), [], b"x"),
            Drop.STUN_UNEXPECTED,
        ),
        (lambda agent: stun.write(stun.Kind.REQUEST, 3, bytes(12), [], b"x"), Drop.STUN_UNEXPECTED),
    ],
)
def test_what_is_not_a_check_of_the_peer_is_refused(
    couple: Couple, make: Callable[[FullAgent], bytes], reason: Drop
) -> None:
    agent = couple.left.agent
    assert isinstance(agent, FullAgent)
    with pytest.raises(BadPacket) as caught:
        agent.receive_untrusted(couple.left.ends[0][0], make(agent), ("198.51.100.2", 2), 1.0)
    assert caught.value.reason is reason
    assert agent.datagrams() == []


def test_an_answer_from_elsewhere_or_with_a_wrong_key_proves_nothing(couple: Couple) -> None:
    couple.left.meet(couple.right)
    [(base, data, _)] = couple.left.agent.datagrams()
    id = stun.parse_untrusted(data).transaction
    forged = stun.write(stun.Kind.SUCCESS, stun.BINDING, id, [], b"wrong")
    with pytest.raises(BadPacket):
        couple.left.agent.receive_untrusted(base, forged, ("198.51.100.2", 2), couple.net.now)
    answer = stun.write(stun.Kind.SUCCESS, stun.BINDING, id, [], couple.right.agent.pwd.encode())
    couple.left.agent.receive_untrusted(base, answer, ("203.0.113.66", 2), couple.net.now)
    assert couple.left.agent.path is None


@given(
    st.integers(0, 2**32),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.1, 0.3]),
    st.sampled_from([0.001, 0.05, 0.4]),
)
@example(2_883_167_460, 1, 1, 0.3, 0.05)
def test_any_two_agents_agree_on_one_path(
    seed: int, lefts: int, rights: int, loss: float, delay: float
) -> None:
    # A check is given up after seven tries (RFC 8489 section 6.2.1), all of which chance alone may take.
    couple = Couple(seed, loss=loss, delay=delay, in_a_row=1)
    for number in range(lefts):
        couple.left.bind(f"192.0.2.{number + 1}", 1, rank=number)
    for number in range(rights):
        couple.right.bind(f"198.51.100.{number + 1}", 2, rank=number)
    couple.connect(60)
    couple.net.loss = 0.0
    couple.net.run(70)
    left, right = couple.left.agent.selected, couple.right.agent.selected
    assert isinstance(left, Path)
    assert isinstance(right, Path)
    assert left.address == (right.base.host, right.base.port)  # type: ignore[attr-defined]  # the network's
    assert right.address == (left.base.host, left.base.port)  # type: ignore[attr-defined]  # the network's


def test_the_tables_know_every_state_and_refuse_the_rest() -> None:
    assert set(PAIR) == set(PairState)
    assert set(AGENT) == set(AgentState)
    assert next_state(PAIR, PairState.WAITING, PairEvent.SEND) is PairState.IN_PROGRESS
    with pytest.raises(LocalError):
        next_state(PAIR, PairState.FROZEN, PairEvent.SUCCEED)
    with pytest.raises(LocalError):
        next_state(AGENT, AgentState.FAILED, AgentEvent.SELECT)
