"""The full agent: finds the path by checks of its own (RFC 8445), and watches it (RFC 7675)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sft.errors import BadPacket
from sft.model import Address, Candidate, Drop, RandomBytes
from sft.webrtc import stun
from sft.webrtc.ice.agent import Known, LocalEnd, Outgoing, Path, authenticate_untrusted, make_credentials
from sft.webrtc.ice.checklist import CheckList, Pair
from sft.webrtc.ice.checks import Check, Purpose, Remote, Sighting, write_check
from sft.webrtc.ice.consent import Consent
from sft.webrtc.ice.states import AGENT, AgentEvent, AgentState, PairEvent, PairState, next_state
from sft.webrtc.transaction import GIVE_UP, RTO, Transaction

if TYPE_CHECKING:
    from sft.plugin.interfaces import Base

TA: Final = 0.05
"""Seconds between two first sendings of checks (section 14.2)."""

PATIENCE: Final = 0.3
"""Seconds a valid pair waits for a better one before it is nominated."""

STALE: Final = 6.0
"""Seconds without a sign of the peer on the selected pair after which a pair that is alive may replace it;
browsers give one every 2.5 s."""

ALIVE: Final = 3.0
"""Seconds since the last sign of the peer on such a pair."""

MAX_EARLY: Final = 16
"""Checks remembered that came before the answer."""

_KNOWN: Final = frozenset((stun.USERNAME, stun.MESSAGE_INTEGRITY, stun.PRIORITY, stun.USE_CANDIDATE))


class FullAgent:
    """Controlling when it made the offer; a role conflict is settled by the tie-breaker.

    Nominates regularly: the best pair that works, once no better one can come or patience is over.
    After that a selected pair is left only if a NAT gave the peer another port, or if it is silent while
    the peer is heard on another. As controlled agent it follows the peer's newest nomination.
    """

    __slots__ = (
        "_checks",
        "_consent",
        "_early",
        "_known",
        "_list",
        "_next_check",
        "_nominated",
        "_outbox",
        "_patience_until",
        "_pwd_bytes",
        "_random",
        "_remote",
        "_selected_pair",
        "_started",
        "_tie_breaker",
        "controlling",
        "failed",
        "last_alive",
        "pwd",
        "selected",
        "state",
        "ufrag",
    )

    is_lite = False

    def __init__(self, random: RandomBytes, *, controlling: bool = True) -> None:
        self.ufrag, self.pwd = make_credentials(random)
        self.controlling = controlling
        self.state = AgentState.NEW
        self.selected: Path | None = None
        self.failed: str | None = None
        self.last_alive: float | None = None
        self._random = random
        self._tie_breaker = random(8)
        self._pwd_bytes = self.pwd.encode()
        self._remote: Remote | None = None
        self._list = CheckList()
        self._checks: dict[bytes, Check] = {}
        self._known = Known()
        self._early: list[Sighting] = []
        self._selected_pair: Pair | None = None
        self._nominated: set[Pair] = set()  # by the peer, before they were valid
        self._consent = Consent(random)
        self._next_check = 0.0
        self._patience_until: float | None = None
        self._started = 0.0
        self._outbox: list[Outgoing] = []

    @property
    def path(self) -> Path | None:
        if self.selected is not None:
            return self.selected
        best = self._list.best
        return best.path if best is not None else self._known.first

    @property
    def deadline(self) -> float | None:
        if self.state in (AgentState.NEW, AgentState.FAILED):
            return None
        times = [check.transaction.deadline for check in self._checks.values()]
        if self._list.has_work():
            times.append(self._next_check)
        if self._patience_until is not None:
            times.append(self._patience_until)
        if self._consent.deadline is not None:
            times.append(self._consent.deadline)
        elif self.state is AgentState.CHECKING:
            times.append(self._started + GIVE_UP)
        return min(times, default=None)

    def set_local(self, ends: Sequence[LocalEnd]) -> None:
        self._list.set_local(ends)

    def set_remote(self, ufrag: str, pwd: str, candidates: Sequence[Candidate], now: float) -> None:
        """Begin, or begin anew if the credentials are others (ICE restart, section 9): the selected path
        is used on until another one is found."""
        remote = Remote(ufrag, pwd.encode())
        if remote == self._remote or self.state is AgentState.FAILED:
            return
        self._remote = remote
        self._event(AgentEvent.START)
        self._checks.clear()
        self._nominated.clear()
        self._selected_pair = None
        self._patience_until = None
        self._started = self._next_check = now
        self._consent.prolong(now)
        self._list.form(candidates, controlling=self.controlling)
        early, self._early = self._early, []
        for sighting in early:
            self._take_sighting(sighting, now)
        self.handle_timeout(now)

    def is_validated(self, base: Base, address: Address) -> bool:
        pair = self._list.find(base, address)
        return (base, address) in self._known or (pair is not None and pair.is_valid)

    def datagrams(self) -> list[Outgoing]:
        outbox, self._outbox = self._outbox, []
        return outbox

    # Time ------------------------------------------------------------------------------------------------

    def handle_timeout(self, now: float) -> None:
        if self.state in (AgentState.NEW, AgentState.FAILED):
            return
        for check in list(self._checks.values()):
            self._repeat(check, now)
        if now >= self._next_check and self._list.has_work():
            self._check_next(now)
        self._watch_consent(now)
        self._choose(now)
        if self.state is AgentState.CHECKING and self.selected is None and now >= self._started + GIVE_UP:
            # Not sooner, even if no pair is left: the peer may still come (RFC 8863).
            self._give_up("no path to the peer was found")

    def _repeat(self, check: Check, now: float) -> None:
        transaction = check.transaction
        if transaction.is_due(now):
            self._send(check.pair, transaction.data)
        elif transaction.over:
            self._forget(check)
            self._failed(check)

    def _check_next(self, now: float) -> None:
        triggered = self._list.triggered
        pair = triggered.popleft() if triggered else self._list.next_ordinary()
        if pair is not None and pair.state is PairState.WAITING:
            pair.event(PairEvent.SEND)
            self._request(pair, Purpose.CHECK, now)
            self._next_check = now + TA

    def _watch_consent(self, now: float) -> None:
        pair = self._selected_pair
        if self._consent.has_expired(now):
            self._give_up("consent expired")
        elif self._consent.is_due(now) and pair is not None:
            self._request(pair, Purpose.CONSENT, now)

    def _choose(self, now: float) -> None:
        """Nominate if it is our turn and time (section 8.1.1)."""
        patience, self._patience_until = self._patience_until, None
        if not self.controlling or self.state is AgentState.FAILED:
            return
        if any(check.purpose is Purpose.NOMINATION for check in self._checks.values()):
            return
        current = self._selected_pair
        best = self._list.best if current is None else self._livelier_than(current, now)
        if best is None:
            return
        if current is None and any(pair.waits and pair.priority > best.priority for pair in self._list.pairs):
            patience = now + PATIENCE if patience is None else patience
            if now < patience:
                self._patience_until = patience
                return
        self._request(best, Purpose.NOMINATION, now)

    def _livelier_than(self, current: Pair, now: float) -> Pair | None:
        """The pair to change to: the peer's port has changed, or it is heard there and silent here."""
        others = [pair for pair in self._list.pairs if pair.is_valid and pair is not current]
        rebound = next((pair for pair in others if pair.is_rebinding_of(current)), None)
        if rebound is not None or current.heard_at is None or now < current.heard_at + STALE:
            return rebound
        return next((pair for pair in others if pair.heard_at and now < pair.heard_at + ALIVE), None)

    def _give_up(self, reason: str) -> None:
        self._event(AgentEvent.GIVE_UP)
        self.failed = reason
        self.selected = self._selected_pair = None
        self._checks.clear()

    # Datagrams -------------------------------------------------------------------------------------------

    def receive_untrusted(self, base: Base, data: bytes, address: Address, now: float) -> bool:
        message = stun.parse_untrusted(data)
        if message.method != stun.BINDING:
            raise BadPacket(Drop.STUN_UNEXPECTED, f"method {message.method:#x}")
        match message.kind:
            case stun.Kind.REQUEST:
                self._take_request_untrusted(base, message, data, address, now)
            case stun.Kind.INDICATION:
                return False  # a keep-alive; unauthenticated, so it proves nothing
            case _:
                self._take_answer_untrusted(base, message, data, address, now)
        self.handle_timeout(now)
        return True

    def _take_request_untrusted(
        self, base: Base, message: stun.StunMessage, data: bytes, address: Address, now: float
    ) -> None:
        remote = self._remote.ufrag if self._remote is not None else None
        authenticate_untrusted(message, data, self.ufrag, self._pwd_bytes, remote)
        priority = message.attributes.get(stun.PRIORITY, bytes(4))
        if len(priority) != 4:
            raise BadPacket(Drop.STUN_MALFORMED, "PRIORITY")
        self.last_alive = now
        if unknown := message.unknown(_KNOWN):
            attributes = stun.error_code(420, "Unknown Attribute"), stun.unknown_attributes(unknown)
            self._answer(base, address, message, stun.Kind.ERROR, *attributes)
        elif not self._settles_role_untrusted(message):
            self._answer(base, address, message, stun.Kind.ERROR, stun.error_code(487, "Role Conflict"))
        else:
            mapped = stun.XOR_MAPPED_ADDRESS, stun.xor_address(address, message.transaction)
            self._answer(base, address, message, stun.Kind.SUCCESS, mapped)
            self._known.add(base, address, self.selected)
            nominates = stun.USE_CANDIDATE in message.attributes
            self._take_sighting(Sighting(base, address, int.from_bytes(priority, "big"), nominates), now)

    def _settles_role_untrusted(self, message: stun.StunMessage) -> bool:
        """Whether the roles differ, if need be by a change of ours (section 7.3.1.1)."""
        conflict = stun.ICE_CONTROLLING if self.controlling else stun.ICE_CONTROLLED
        theirs = message.attributes.get(conflict)
        if theirs is None:
            return True
        if len(theirs) != 8:
            raise BadPacket(Drop.STUN_MALFORMED, "tie-breaker")
        if self.controlling == (self._tie_breaker >= theirs):
            return False
        self._set_role(controlling=not self.controlling)
        return True

    def _take_sighting(self, seen: Sighting, now: float) -> None:
        """Section 7.3.1.3 to 7.3.1.5: learn the address, check it, heed the nomination."""
        if self._remote is None or self.state is AgentState.FAILED:
            if len(self._early) < MAX_EARLY and seen not in self._early:
                self._early.append(seen)
            return
        pair = self._list.find(seen.base, seen.address)
        if pair is None:
            pair = self._list.learn(seen.base, seen.address, seen.priority, controlling=self.controlling)
            pair.follows = self._selected_pair
            self._list.forget_one(self._selected_pair)
        pair.heard_at = now
        if not pair.is_valid and not pair.triggered:
            if pair.check is not None:
                pair.check.cancel(now + GIVE_UP)  # its answer still counts
            self._list.trigger(pair)
        if seen.nominates and not self.controlling:
            if pair.is_valid:
                self._select(pair, now)
            else:
                self._nominated.add(pair)

    def _take_answer_untrusted(
        self, base: Base, message: stun.StunMessage, data: bytes, address: Address, now: float
    ) -> None:
        check = self._checks.get(message.transaction)
        if check is None or self._remote is None:
            raise BadPacket(Drop.STUN_UNEXPECTED, "an answer nobody waits for")
        if not stun.has_integrity(message, data, self._remote.pwd):
            raise BadPacket(Drop.STUN_INTEGRITY, "MESSAGE-INTEGRITY missing or wrong")
        self.last_alive = now
        self._forget(check)
        pair = check.pair
        symmetric = base is pair.path.base and address[:2] == pair.path.address[:2]
        if message.kind is stun.Kind.SUCCESS and symmetric:
            self._succeeded(check, now)
        elif message.kind is stun.Kind.ERROR and stun.read_error_code_untrusted(message) == 487:
            self._role_refused(check)
        else:
            self._failed(check)

    def _failed(self, check: Check) -> None:
        """Consent is not among it: that is withdrawn by silence only (RFC 7675 section 5.1)."""
        pair = check.pair
        if check.purpose is Purpose.NOMINATION or (
            pair.state is PairState.IN_PROGRESS and pair.check is check.transaction
        ):
            pair.event(PairEvent.FAIL)
            pair.triggered = False

    def _succeeded(self, check: Check, now: float) -> None:
        pair = check.pair
        self._list.succeeded(pair, now)
        if check.purpose is Purpose.NOMINATION:
            if self.controlling:
                self._select(pair, now)
        elif pair in self._nominated and not self.controlling:
            self._select(pair, now)
        elif pair is self._selected_pair:
            self._consent.confirm(now)

    def _role_refused(self, check: Check) -> None:
        """Section 7.2.5.1: take the other role, unless we have done so meanwhile, and ask again."""
        if check.controlling == self.controlling:
            self._set_role(controlling=not self.controlling)
        if check.pair.state is PairState.IN_PROGRESS:
            check.pair.event(PairEvent.REPEAT)
            self._list.triggered.append(check.pair)

    def _select(self, pair: Pair, now: float) -> None:
        self._event(AgentEvent.SELECT)
        self._nominated.discard(pair)
        self._list.conclude()
        for check in self._checks.values():
            if check.purpose is Purpose.CHECK:
                check.transaction.cancel(now + GIVE_UP)
        if pair is not self._selected_pair:
            self._selected_pair = pair
            self.selected = pair.path
            pair.follows = None  # or a peer that moves for ever would leave a chain
        self._consent.confirm(now)

    def _set_role(self, *, controlling: bool) -> None:
        self.controlling = controlling
        self._list.set_role(controlling=controlling)

    def _forget(self, check: Check) -> None:
        self._checks.pop(check.transaction.id, None)

    def _request(self, pair: Pair, purpose: Purpose, now: float) -> None:
        if self._remote is None:
            return
        id = self._random(12)
        role = stun.ICE_CONTROLLING if self.controlling else stun.ICE_CONTROLLED
        username = f"{self._remote.ufrag}:{self.ufrag}"
        nominates = purpose is Purpose.NOMINATION
        data = write_check(
            id, username, self._remote.pwd, (role, self._tie_breaker), pair.reflexive_priority, nominates
        )
        rto = max(RTO, TA * self._list.active)  # section 14.3
        once = GIVE_UP if purpose is Purpose.CONSENT else None
        transaction = Transaction(id, data, now, rto=rto, once=once)
        self._checks[id] = Check(pair, transaction, purpose, self.controlling)
        if purpose is Purpose.CHECK:
            pair.check = transaction
        self._send(pair, data)

    def _answer(
        self,
        base: Base,
        address: Address,
        request: stun.StunMessage,
        kind: stun.Kind,
        *attributes: tuple[int, bytes],
    ) -> None:
        data = stun.write(kind, stun.BINDING, request.transaction, attributes, self._pwd_bytes)
        self._outbox.append((base, data, address))

    def _send(self, pair: Pair, data: bytes) -> None:
        self._outbox.append((pair.path.base, data, pair.path.address))

    def _event(self, event: AgentEvent) -> None:
        self.state = next_state(AGENT, self.state, event)
