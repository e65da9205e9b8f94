"""One WebRTC connection of a participant: its transports, its peer, and its half of the packet path.

A participant has one connection, and for the time of an UPDATE round a second one that takes over
when its data channel opens (protocol section 8.5). Whatever way it ends, :meth:`Connection.close`
frees the ports.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING
from uuid import UUID

from sft.calls.context import Context
from sft.calls.joins import JoinClock, Phase
from sft.calls.requests import Connect
from sft.errors import BadPacket
from sft.forwarding.endpoint import Endpoint
from sft.model import Address, Candidate, Drop, Ending, JoinRecord, PathKind, PhaseRecord
from sft.signalling.answer import read_answer_untrusted
from sft.signalling.join import Event, JoinState, State, Timer
from sft.signalling.offer import WITHOUT_REMB, Feedback, OfferParameters, write_offer
from sft.webrtc.peer import ChannelOpen, Closed, Connected, Message, PathSelected, RemoteParameters

if TYPE_CHECKING:
    from sft.plugin.interfaces import Base, Transport


class Connection:
    """Mutate, then :meth:`service`: every method that may have made the peer say something ends so."""

    def __init__(self, context: Context, request: Connect, ssrc_video: int, now: float) -> None:
        """Opens transports; ``TransportError`` when none can be had."""
        settings = context.settings
        self._context = context
        self.request = request
        self.made_at = now
        self.clock = JoinClock(context.joins, now)
        self.endpoint = Endpoint(
            request.participant,
            ssrc_video=ssrc_video,
            audio_slots=settings.audio_slots if request.audio_slots else 0,
            video_slots=min(request.video_slots, settings.max_video_slots),
            engine=context.engine,
            drops=context.drops,
            random=context.random,
        )
        self.endpoint.control = self._control
        self.endpoint.on_first_media = partial(self.clock.reached, Phase.MEDIA)
        receive = context.make_receive(self.endpoint)
        self.transports: Sequence[Transport] = context.open_transports(receive, request.ice_servers)
        try:
            self._ends = [end for transport in self.transports for end in _ends(transport)]
            self.peer = context.make_peer(now)
            self.peer.set_local(self._ends)
        except BaseException:
            for transport in self.transports:
                transport.close()
            raise
        context.routes[self.peer.ufrag] = receive
        self.join = JoinState(
            now, {Timer.SETUP: settings.offer_seconds, Timer.CONNECTION: settings.connect_seconds}
        )
        self.audio_ssrc: int | None = None
        self.on_established: Callable[[float], None] = lambda now: None
        self.on_message: Callable[[str, float], None] = lambda text, now: None
        self.on_writable: Callable[[float], None] = lambda now: None
        self.on_closed: Callable[[Ending, str, float], None] = lambda reason, detail, now: None
        self._local: Candidate | None = None
        self._remote: Address | None = None
        self._remote_kinds: dict[Address, str] = {}
        """Of the addresses in the answer."""
        self._timer = context.timers.timer(self._timeout)
        self._told_of_bad_input = False
        self._told_of_join = False
        self._servicing = False
        self._peer_ended = False

    @property
    def closed(self) -> bool:
        return self.join.state is State.CLOSED

    @property
    def established(self) -> bool:
        return self.join.state is State.ESTABLISHED

    @property
    def last_alive(self) -> float:
        """When the last authenticated packet of any kind came."""
        return max(self.peer.last_alive, self.endpoint.last_alive)

    @property
    def remote(self) -> str:
        """Remote host and port of the selected path; empty while there is none."""
        if self._remote is None:
            return ""
        host, port = self._remote[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def path_kind(self) -> PathKind:
        """Of the selected path. A client often selects one before its answer has come; until then the
        remote end is ``prflx``."""
        if self._local is None or self._remote is None:
            return PathKind()
        remote = self._remote_kinds.get(self._remote[:2], "prflx")
        return PathKind(self._local.protocol, self._local.kind, remote)

    def offer(self, now: float) -> str:
        """The complete SDP offer (protocol section 3.4); nothing is trickled."""
        self.join.event(Event.OFFER, now)
        candidates = [c for transport in self.transports for c in transport.candidates]
        candidates.sort(key=lambda candidate: -candidate.priority)
        random = self._context.random
        return write_offer(
            OfferParameters(
                session_id=int.from_bytes(random(4), "big"),
                session_version=1,
                host=candidates[0].host if candidates else "0.0.0.0",
                ufrag=self.peer.ufrag,
                pwd=self.peer.pwd,
                fingerprint=self.peer.fingerprint,
                candidates=candidates,
                lite=self.peer.is_lite,
                simulcast=self.request.simulcast,
                audio_slots=self.endpoint.audio_slots,
                video_slots=self.endpoint.video_slots,
                rtcp_ssrc=self.endpoint.rtcp_ssrc,
                rtcp_label=str(UUID(bytes=random(16))),
                feedback=Feedback() if self._context.settings.adapt_video else WITHOUT_REMB,
            )
        )

    def answer_untrusted(self, sdp: str, now: float) -> None:
        """Take the client's SDP answer (protocol section 3.5)."""
        answer = read_answer_untrusted(sdp)
        self.join.event(Event.ANSWER, now)
        self.clock.reached(Phase.HTTP, now)
        self.audio_ssrc = answer.audio_ssrc
        self._remote_kinds = {(str(ip_address(one.host)), one.port): one.kind for one in answer.candidates}
        self.endpoint.set_answer(
            audio_ssrc=answer.audio_ssrc,
            video_ssrcs=answer.video_ssrcs,
            audio_nack=answer.takes("audio", "nack"),
            video_nack=answer.takes("video", "nack"),
            remb=any(answer.takes(slot.mid, "goog-remb") for slot in self.endpoint.video_slots),
        )
        self.peer.set_remote(
            RemoteParameters(
                ufrag=answer.ufrag,
                pwd=answer.pwd,
                fingerprints=answer.fingerprints,
                setup=answer.setup,
                candidates=answer.candidates,
            ),
            now,
        )
        self.service(now)

    def send(self, text: str, now: float) -> None:
        """Send on the data channel; a channel that is backed up too far ends the connection."""
        if not self.established or self._peer_ended:
            return
        self.peer.send_message(text, now)
        if self.peer.buffered > self._context.settings.channel_bytes:
            self.close(Ending.CHANNEL_STALLED, now)
        else:
            self.service(now)

    def service(self, now: float) -> None:
        """Drain the peer: datagrams out, events up, deadline to the timer heap."""
        if self._servicing:
            return
        self._servicing = True
        try:
            while not self.closed:
                self._flush()
                events = self.peer.events()
                if not events:
                    break
                self._peer_ended = isinstance(events[-1], Closed)  # messages before it are still taken
                for event in events:
                    if not self.closed:
                        self._handle(event, now)
        finally:
            self._servicing = False
        if not self.closed:
            self._timer.set(self.peer.deadline)

    def close(self, reason: Ending, now: float, *, detail: str = "", silently: bool = False) -> None:
        """End for good: free ports, timers and keys. May be called twice.

        ``detail`` is for people. ``silently``: do not tell the client, whose connection then ends by its
        own timers.
        """
        if self.closed:
            return
        self.clock.closed(now)
        self.join.event(Event.CLOSE, now)
        self._timer.cancel()
        self._context.routes.pop(self.peer.ufrag, None)
        if not silently:
            self.peer.close(now)
            self._flush()
        for transport in self.transports:
            transport.close()
        self.tell_of_join(now)
        self.on_closed(reason, detail, now)
        self.endpoint.close()

    def abandon(self, reason: Ending, now: float, *, silently: bool = False) -> None:
        """:meth:`close` a connection that nobody wants any more; if it is not established, that is not
        its failure."""
        self.clock.abandoned(now)
        self.close(reason, now, silently=silently)

    def tell_of_join(self, now: float) -> None:
        """Tell how the join went, once, when nothing more is to come of it."""
        outcome = self.clock.outcome
        if self._told_of_join or outcome is None or not self.clock.is_settled(now):
            return
        self._told_of_join = True
        request, shift = self.request, self._context.wall(now) - now  # the same for all of its times
        offered = self.made_at + shift
        began = min(request.received or offered, offered)
        self._context.observer.join_ended(
            JoinRecord(
                call=request.call,
                participant=request.participant,
                outcome=outcome.value,
                began=began,
                ended=self.clock.ended + shift,
                phases=(PhaseRecord(phase="offer", began=began, ended=offered), *self.clock.phases(shift)),
                update=request.update,
                path=self.path_kind,
                traceparent=request.traceparent,
            )
        )

    def _control(self, base: Base, data: bytes, address: Address, now: float) -> bool:
        """The packet path hands over what is not media: STUN and DTLS."""
        if self.closed:
            return False
        proven = False
        try:
            proven = self.peer.receive_untrusted(base, data, address, now)
            if proven:
                self.clock.heard(now)
            self._context.media.past.received["control"].add(1, len(data))
        except BadPacket as bad:
            self.count_bad(bad)
        self.service(now)
        if self.established:
            self.on_writable(now)
        return proven

    def count_bad(self, bad: BadPacket) -> None:
        """Count bad input; log it once per peer."""
        self._context.drops.count(bad.reason)
        if not self._told_of_bad_input:
            self._told_of_bad_input = True
            request = self.request
            self._context.observer.log(
                "bad_packet", call=request.call, participant=str(request.participant), reason=str(bad)
            )

    def _candidate_of(self, base: Base) -> Candidate | None:
        """A base that is nobody's end is a connection which the peer opened."""
        for end, candidate in self._ends:
            if end is base:
                return candidate
        passive = (transport for transport in self.transports if not _ends(transport))
        return next((candidate for transport in passive for candidate in transport.candidates), None)

    def _timeout(self, now: float) -> None:
        self.peer.handle_timeout(now)
        self.service(now)

    def _flush(self) -> None:
        for base, data, address in self.peer.datagrams():
            self._context.media.past.sent["control"].add(1, len(data))
            try:
                base.send(data, address)
            except BlockingIOError:
                self._context.drops.count(Drop.SEND_BLOCKED)
            except OSError:
                self._context.drops.count(Drop.SEND_FAILED)

    def _handle(self, event: object, now: float) -> None:
        match event:
            case PathSelected(base=base, address=address):
                self.endpoint.set_path(base, address)
                self._remote = address
                self._local = self._candidate_of(base)
                self.clock.reached(Phase.ICE, now)
            case Connected(srtp=srtp):
                self.join.event(Event.CONNECT, now)
                self.clock.reached(Phase.DTLS, now)
                self.endpoint.open(srtp, now)
            case ChannelOpen():
                self.join.event(Event.OPEN, now)
                self.clock.reached(Phase.CHANNEL, now)
                self.on_established(now)
            case Message(text=text):
                self.on_message(text, now)
            case Closed(reason=detail):
                self.close(Ending.CONNECTION_ENDED, now, detail=detail)


def _ends(transport: Transport) -> Sequence[tuple[Base, Candidate]]:
    """Not every transport is an :class:`sft.plugin.ActiveTransport`."""
    ends: Sequence[tuple[Base, Candidate]] = getattr(transport, "ends", ())
    return ends
