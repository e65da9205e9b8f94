"""The other end of a :class:`sft.webrtc.peer.Peer`, for tests: a controlling ICE agent of one address,
a DTLS client, an SCTP association, and a network between the two that may lose datagrams."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from sft.errors import BadPacket
from sft.model import Address
from sft.webrtc import stun
from sft.webrtc.demux import Kind, classify
from sft.webrtc.dtls import DtlsContext, DtlsSession, generate_identity
from sft.webrtc.ice import LiteAgent
from sft.webrtc.peer import ChannelOpen, Closed, Message, Peer, PeerEvent, RemoteParameters
from sft.webrtc.sctp import SctpAssociation

HOME: Address = ("192.0.2.7", 40000)


def seeded(seed: int) -> Callable[[int], bytes]:
    """Randomness that repeats."""
    return random.Random(seed).randbytes


class Client:
    """A client as a browser is one, with exactly one address. Mutate, then drain ``datagrams``."""

    def __init__(self, context: DtlsContext, *, is_dtls_client: bool = True, seed: int = 1) -> None:
        self.context = context
        self.random = seeded(seed)
        self.ufrag, self.pwd = "cLIE", "client-password-of-24-ch"
        self.remote_ufrag = self.remote_pwd = self.remote_fingerprint = ""
        self.setup = "active" if is_dtls_client else "passive"
        self.dtls = DtlsSession(context, is_server=not is_dtls_client)
        self.sctp: SctpAssociation | None = None
        self.answers: list[stun.StunMessage] = []
        self.messages: list[str] = []
        self.channel_open = False
        self.closed: str | None = None
        self.outbox: list[bytes] = []

    def answer(self, fingerprints: Sequence[tuple[str, str]] | None = None) -> RemoteParameters:
        """What this client's SDP answer says."""
        own = (("sha-256", self.context.identity.fingerprint),)
        return RemoteParameters(self.ufrag, self.pwd, tuple(fingerprints or own), self.setup)  # type: ignore[arg-type]

    def set_remote(self, peer: Peer) -> None:
        """Read the offer."""
        self.remote_ufrag, self.remote_pwd = peer.ufrag, peer.pwd
        self.dtls.set_fingerprints([("sha-256", peer.fingerprint)])

    def make_check(
        self, *extra: tuple[int, bytes], nominate: bool = True, role: int = stun.ICE_CONTROLLING
    ) -> bytes:
        attributes = [
            (stun.USERNAME, f"{self.remote_ufrag}:{self.ufrag}".encode()),
            (role, bytes(8)),
            (stun.PRIORITY, bytes.fromhex("6e7e1eff")),
            *([(stun.USE_CANDIDATE, b"")] if nominate else []),
            *extra,
        ]
        return stun.write(
            stun.Kind.REQUEST, stun.BINDING, self.random(12), attributes, self.remote_pwd.encode()
        )

    def check(self, *, nominate: bool = True) -> None:
        self.outbox.append(self.make_check(nominate=nominate))

    def start_dtls(self, now: float) -> None:
        self.dtls.start(now)
        self._flush(now)

    def receive(self, data: bytes, now: float) -> None:
        if classify(data) is Kind.STUN:
            self.answers.append(stun.parse_untrusted(data))
        else:
            try:
                self.dtls.receive_untrusted(data, now)
            except BadPacket:
                pass
        self._flush(now)

    def send(self, text: str, now: float) -> None:
        assert self.sctp is not None
        self.sctp.send(text, now)
        self._flush(now)

    def send_raw(self, packet: bytes) -> None:
        """Encrypt anything at all as if it were an SCTP packet."""
        self.dtls.send(packet)
        self.outbox += self.dtls.datagrams()

    @property
    def deadline(self) -> float | None:
        sctp = None if self.sctp is None else self.sctp.deadline
        return min((when for when in (self.dtls.deadline, sctp) if when is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        self.dtls.handle_timeout(now)
        if self.sctp is not None:
            self.sctp.handle_timeout(now)
        self._flush(now)

    def close(self, now: float) -> None:
        if self.sctp is not None:
            self.sctp.close(now)
        self._flush(now)
        self.dtls.close()
        self._flush(now)

    def datagrams(self) -> list[bytes]:
        outbox, self.outbox = self.outbox, []
        return outbox

    def _flush(self, now: float) -> None:
        if self.sctp is None and self.dtls.srtp is not None:
            self.sctp = SctpAssociation(self.random, now, is_server=self.dtls.is_server, opens_channel=False)
        if self.sctp is not None:
            for packet in self.dtls.received():
                self.sctp.receive_untrusted(packet, now)
            for event in self.sctp.events():
                self._note(event)
            for packet in self.sctp.datagrams():
                if self.dtls.closed is None:
                    self.dtls.send(packet)
        self.closed = self.closed or self.dtls.closed
        self.outbox += self.dtls.datagrams()

    def _note(self, event: ChannelOpen | Message | Closed) -> None:
        if isinstance(event, Message):
            self.messages.append(event.text)
        elif isinstance(event, Closed):
            self.closed = event.reason
        else:
            self.channel_open = True


class Link:
    """A peer, a client and the network between them. ``lose`` sees (number, datagram) of every datagram,
    counted from 0 over both directions, and says which are lost."""

    def __init__(self, peer: Peer, client: Client, *, base: object = "base") -> None:
        self.peer = peer
        self.client = client
        self.base = base
        self.address = HOME
        self.now = 1000.0
        self.lose: Callable[[int, bytes], bool] = lambda number, data: False
        self.carried = 0
        self.events: list[PeerEvent] = []
        self.faults: list[BadPacket] = []
        self.sent_to: list[Address] = []

    def pump(self) -> None:
        """Carry datagrams until both sides are silent."""
        while True:
            up = self.client.datagrams()
            down = self.peer.datagrams()
            self.events += self.peer.events()
            if not up and not down:
                return
            for data in up:
                if self._arrives(data):
                    self.deliver(data)
            for _, data, address in down:
                self.sent_to.append(address)
                if self._arrives(data):
                    self.client.receive(data, self.now)

    def deliver(self, data: bytes, address: Address | None = None) -> None:
        """Hand one datagram to the peer; a fault is noted."""
        try:
            self.peer.receive_untrusted(self.base, data, address or self.address, self.now)  # type: ignore[arg-type]
        except BadPacket as fault:
            self.faults.append(fault)

    def run_until(self, condition: Callable[[], bool], *, seconds: float = 120.0) -> None:
        """Pump and let time pass from deadline to deadline until the condition holds."""
        end = self.now + seconds
        self.pump()
        while not condition():
            deadlines = [when for when in (self.peer.deadline, self.client.deadline) if when is not None]
            assert deadlines, "nothing is under way and the condition does not hold"
            self.now = max(self.now, min(deadlines))
            assert self.now <= end, "too late"
            self.peer.handle_timeout(self.now)
            self.client.handle_timeout(self.now)
            self.pump()

    def join(self, *, answer_first: bool = True) -> None:
        """Everything up to an open channel."""
        self.client.set_remote(self.peer)
        if answer_first:
            self.peer.set_remote(self.client.answer(), self.now)
        self.client.check()
        self.pump()
        if self.client.setup == "active":
            self.client.start_dtls(self.now)
        self.pump()
        if not answer_first:
            self.peer.set_remote(self.client.answer(), self.now)
        self.pump()

    def of(self, kind: type[PeerEvent]) -> list[PeerEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def texts(self) -> list[str]:
        """Messages that reached the peer."""
        return [event.text for event in self.events if isinstance(event, Message)]

    def _arrives(self, data: bytes) -> bool:
        number = self.carried
        self.carried += 1
        return not self.lose(number, data)


def make_contexts() -> tuple[DtlsContext, DtlsContext]:
    """(server's, client's). Making keys costs a millisecond: share them between tests."""
    return DtlsContext(generate_identity(seeded(1))), DtlsContext(generate_identity(seeded(2)))


def make_link(
    contexts: tuple[DtlsContext, DtlsContext], *, is_dtls_client: bool = True, seed: int = 1
) -> Link:
    """A peer and a client that know nothing of each other yet."""
    source = seeded(seed + 1000)
    peer = Peer(context=contexts[0], ice=LiteAgent(source), random=source, now=1000.0)
    return Link(peer, Client(contexts[1], is_dtls_client=is_dtls_client, seed=seed))
