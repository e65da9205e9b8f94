"""Candidate pairs and the order in which they are checked (RFC 8445 sections 6.1.2 and 6.1.4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv6Address, ip_address
from math import inf
from typing import TYPE_CHECKING, Final

from sft.model import Address, Candidate
from sft.webrtc.ice.agent import MAX_PATHS, LocalEnd, Path
from sft.webrtc.ice.states import PAIR, PairEvent, PairState, next_state
from sft.webrtc.transaction import Transaction

if TYPE_CHECKING:
    from sft.plugin.interfaces import Base

MAX_PAIRS: Final = 100  # RFC 8445 section 6.1.2.5

_PEER_REFLEXIVE: Final = 110
_WAITS: Final = frozenset((PairState.FROZEN, PairState.WAITING, PairState.IN_PROGRESS))


class Pair:
    """A local base and a remote candidate. What a NAT makes of the base's address is of no interest: we
    never tell it to anybody, so a valid pair is the pair that was checked (section 7.2.5.3.2)."""

    __slots__ = ("check", "follows", "heard_at", "local", "path", "priority", "remote", "state", "triggered")

    def __init__(self, path: Path, local: Candidate, remote: Candidate, *, controlling: bool) -> None:
        self.path = path
        self.local = local
        self.remote = remote
        self.state = PairState.FROZEN
        self.check: Transaction | None = None
        """The newest check of it."""
        self.triggered = False
        """Whether a check of the peer has led to that one. Once is enough: the rest is repetition."""
        self.heard_at: float | None = None
        """When anything authenticated last came on it."""
        self.follows: Pair | None = None
        """The pair that was selected when the peer was first heard on this one."""
        self.set_role(controlling=controlling)

    @property
    def foundation(self) -> tuple[str, str]:
        return self.local.foundation, self.remote.foundation

    @property
    def waits(self) -> bool:
        """Whether a check may still prove it."""
        return self.state in _WAITS

    @property
    def is_valid(self) -> bool:
        return self.state is PairState.SUCCEEDED

    @property
    def reflexive_priority(self) -> int:
        """PRIORITY of our checks: what a peer-reflexive candidate of our base would have (section 7.1.1)."""
        return _PEER_REFLEXIVE << 24 | self.local.priority & 0xFFFFFF

    def is_rebinding_of(self, other: Pair) -> bool:
        """Whether it looks as if a NAT gave the peer another port since the other pair was selected."""
        path, old = self.path, other.path
        return self.follows is other and path.base is old.base and path.address[0] == old.address[0]

    def set_role(self, *, controlling: bool) -> None:
        """Section 6.1.2.3; both sides must come to the same number."""
        ours, theirs = self.local.priority, self.remote.priority
        g, d = (ours, theirs) if controlling else (theirs, ours)
        self.priority = min(g, d) << 32 | 2 * max(g, d) | (g > d)

    def event(self, event: PairEvent) -> None:
        self.state = next_state(PAIR, self.state, event)


class CheckList:
    """The pairs of one session, best first; there is one component, so there is one list."""

    __slots__ = ("_by_path", "_concluded", "_ends", "pairs", "triggered")

    def __init__(self) -> None:
        self.pairs: list[Pair] = []
        self.triggered: deque[Pair] = deque()
        self._concluded = False
        self._by_path: dict[tuple[int, str, int], Pair] = {}
        self._ends: dict[int, LocalEnd] = {}

    def set_local(self, ends: Sequence[LocalEnd]) -> None:
        self._ends = {id(base): (base, candidate) for base, candidate in ends}

    def form(self, candidates: Sequence[Candidate], *, controlling: bool) -> None:
        """Begin anew with these remote candidates. Names (mDNS) and TCP are left out: the one cannot
        be looked up without I/O, the other is opened by the peer."""
        self._concluded = False
        self.pairs.clear()
        self.triggered.clear()
        self._by_path.clear()
        for candidate in candidates:
            if candidate.protocol == "udp" and (host := _canonical(candidate.host)) is not None:
                for base, local in self._ends.values():
                    if _can_reach(local.host, host):
                        path = Path(base, (host, candidate.port))
                        self._add(Pair(path, local, candidate, controlling=controlling))
        self.sort()
        for pair in self.pairs[MAX_PAIRS:]:
            del self._by_path[_key(pair.path.base, pair.path.address)]
        del self.pairs[MAX_PAIRS:]
        for pair in _first_of_each_foundation(self.pairs):
            pair.event(PairEvent.UNFREEZE)

    def find(self, base: Base, address: Address) -> Pair | None:
        return self._by_path.get(_key(base, address))

    def learn(self, base: Base, address: Address, priority: int, *, controlling: bool) -> Pair:
        """The pair of a peer-reflexive candidate (section 7.3.1.3).

        A base that was not named to ``set_local``, such as a TCP connection the peer opened, ranks
        below all others.
        """
        _, local = self._ends.get(id(base), (base, Candidate("0", "tcp", 1, "", 0)))
        foundation = f"{address[0]}:{address[1]}"  # unlike any other's
        remote = Candidate(foundation, local.protocol, priority, address[0], address[1], "prflx")
        pair = Pair(Path(base, address), local, remote, controlling=controlling)
        self._add(pair)
        self.sort()
        return pair

    def forget_one(self, keep: Pair | None) -> None:
        """A peer that changes its address again and again must not grow the list: the learned pair goes
        on which it was not heard for longest."""
        learned = [pair for pair in self.pairs if pair.remote.kind == "prflx" and pair is not keep]
        if len(learned) > MAX_PATHS:
            oldest = min(learned, key=lambda pair: pair.heard_at or inf)
            self.pairs.remove(oldest)
            del self._by_path[_key(oldest.path.base, oldest.path.address)]
            if oldest in self.triggered:
                self.triggered.remove(oldest)

    def trigger(self, pair: Pair) -> None:
        pair.triggered = True
        pair.event(PairEvent.TRIGGER)
        if pair not in self.triggered:
            self.triggered.append(pair)

    def conclude(self) -> None:
        """A pair is selected: from now on only what the peer checks is checked (section 8.1.2)."""
        self._concluded = True

    def next_ordinary(self) -> Pair | None:
        """The best pair that waits for its first check; thaws one if none does (section 6.1.4.2)."""
        if self._concluded:
            return None
        for pair in self.pairs:
            if pair.state is PairState.WAITING and pair not in self.triggered:
                return pair
        busy = {pair.foundation for pair in self.pairs if pair.state is PairState.IN_PROGRESS}
        for pair in self.pairs:
            if pair.state is PairState.FROZEN and pair.foundation not in busy:
                pair.event(PairEvent.UNFREEZE)
                return pair
        return None

    def has_work(self) -> bool:
        """Whether a check could be sent now."""
        if self.triggered or self._concluded:
            return bool(self.triggered)
        if any(pair.state is PairState.WAITING for pair in self.pairs):
            return True
        busy = {pair.foundation for pair in self.pairs if pair.state is PairState.IN_PROGRESS}
        return any(pair.state is PairState.FROZEN and pair.foundation not in busy for pair in self.pairs)

    def succeeded(self, pair: Pair, now: float) -> None:
        """Thaws the pairs of the same foundation (section 7.2.5.3.3)."""
        pair.event(PairEvent.SUCCEED)
        pair.heard_at = now
        for other in self.pairs:
            if other.state is PairState.FROZEN and other.foundation == pair.foundation:
                other.event(PairEvent.UNFREEZE)

    def set_role(self, *, controlling: bool) -> None:
        for pair in self.pairs:
            pair.set_role(controlling=controlling)
        self.sort()

    def sort(self) -> None:
        self.pairs.sort(key=lambda pair: -pair.priority)

    @property
    def best(self) -> Pair | None:
        """The best valid pair."""
        return next((pair for pair in self.pairs if pair.is_valid), None)

    @property
    def active(self) -> int:
        """How many pairs are waiting or in progress: the more, the longer each waits for its answer."""
        return sum(pair.waits for pair in self.pairs)

    def _add(self, pair: Pair) -> None:
        """Unless there is one like it, which then has the higher priority (section 6.1.2.4)."""
        key = _key(pair.path.base, pair.path.address)
        known = self._by_path.get(key)
        if known is None:
            self._by_path[key] = pair
            self.pairs.append(pair)
        elif pair.priority > known.priority:
            known.remote, known.priority = pair.remote, pair.priority


def _first_of_each_foundation(pairs: Iterable[Pair]) -> Iterator[Pair]:
    seen = set()
    for pair in pairs:
        if pair.foundation not in seen:
            seen.add(pair.foundation)
            yield pair


def _key(base: Base, address: Address) -> tuple[int, str, int]:
    return id(base), address[0], address[1]


def _canonical(host: str) -> str | None:
    """As the kernel writes it."""
    try:
        return str(ip_address(host))
    except ValueError:
        return None


def _can_reach(local: str, remote: str) -> bool:
    """Same family, and link-local only to link-local (section 6.1.2.2)."""
    here, there = ip_address(local), ip_address(remote)
    if here.version != there.version:
        return False
    return not isinstance(here, IPv6Address) or here.is_link_local == there.is_link_local
