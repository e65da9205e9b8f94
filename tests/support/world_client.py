"""The clients of a :class:`support.world.World`: they join, talk JSON and send media like a Wire client."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias

from sft.calls.requests import Accepted, Answer, Connect, Offered, Refusal, Refused, Reply
from sft.errors import BadPacket
from sft.model import Address, ParticipantId
from sft.webrtc.srtp import inbound_session, outbound_session
from support import rtp
from support.rtp import RtpPacket
from support.webrtc_client import Client
from support.wire import message
from support.world import contexts

if TYPE_CHECKING:
    from pylibsrtp import Session

    from support.world import World

Json: TypeAlias = dict[str, Any]

BEAT = 2.5
"""Seconds between two STUN checks; a PING goes with every second one."""


def nothing(data: bytes) -> bool:
    """Loses nothing."""
    return False


def everything(data: bytes) -> bool:
    """Loses everything."""
    return True


class ClientEnd:
    """The client's side of one connection."""

    def __init__(self, client: WorldClient, number: int, offer: str) -> None:
        self.world = client.world
        self.offer = offer
        self.address: Address = (f"10.0.{client.number // 256}.{client.number % 256}", 50000 + number)
        self.audio_ssrc = 1000 * client.number + number
        self.engine = Client(contexts()[1], seed=self.audio_ssrc)
        server = SimpleNamespace(
            ufrag=first(offer, r"a=ice-ufrag:(\S+)"),
            pwd=first(offer, r"a=ice-pwd:(\S+)"),
            fingerprint=first(offer, r"a=fingerprint:sha-256 (\S+)"),
        )
        self.engine.set_remote(server)  # type: ignore[arg-type]  # what it reads of a peer
        self.transport = self.world.transports[int(first(offer, r"a=candidate:(?:\S+ ){5}(\d+)"))]
        self.lose_up: Callable[[bytes], bool] = nothing
        self.lose_down: Callable[[bytes], bool] = nothing
        self.rtp: list[bytes] = []
        self.rtcp: list[bytes] = []
        """What was received, decrypted."""
        self._on_text = client.take
        self._srtp: tuple[Session, Session] | None = None
        self.world.ends[self.address] = self

    @property
    def slots(self) -> list[int]:
        """The SSRCs the offer announces, by position: our RTCP's, audio slots, video slots."""
        return [int(ssrc) for ssrc in re.findall(r"a=ssrc:(\d+) cname", self.offer)]

    def answer(self, **replacements: str) -> str:
        """The SDP answer; ``replacements`` (e.g. ``fingerprint=...``) change what it says; ``candidates`` are
        whole lines, of which it has none otherwise."""
        engine = self.engine
        said = {
            "ufrag": engine.ufrag,
            "pwd": "x" * 24,
            "fingerprint": engine.context.identity.fingerprint,
            "candidates": "",
            **replacements,
        }
        transport = (
            f"a=ice-ufrag:{said['ufrag']}\na=ice-pwd:{said['pwd']}\n"
            f"a=fingerprint:sha-256 {said['fingerprint']}\na=setup:{engine.setup}\n"
            f"{said['candidates']}"
        )
        return (
            f"v=0\nm=audio 9 UDP/TLS/RTP/SAVPF 111\na=mid:audio\na=rtcp-mux\n{transport}"
            f"a=ssrc:{self.audio_ssrc} cname:x\na=rtcp-fb:111 nack\n"
            f"m=video 9 UDP/TLS/RTP/SAVPF 100\na=mid:video\na=rtcp-fb:100 nack\n"
            f"a=rid:h send\na=rid:l send\nm=application 9 DTLS/SCTP 5000\na=mid:data\n"
        )

    def start(self) -> None:
        """ICE and DTLS begin."""
        self.engine.check()
        self.engine.start_dtls(self.world.now)

    def send(self, data: bytes) -> None:
        """Any datagram at all."""
        if not self.lose_up(data):
            self.transport.deliver(data, self.address)

    @property
    def sessions(self) -> tuple[Session, Session]:
        """SRTP: (to protect with, to unprotect with)."""
        if self._srtp is None:
            assert self.engine.dtls.srtp is not None, "no keys yet"
            self._srtp = outbound_session(self.engine.dtls.srtp), inbound_session(self.engine.dtls.srtp)
        return self._srtp

    def send_rtp(self, packet: bytes) -> None:
        self.send(self.sessions[0].protect(packet))

    def send_rtcp(self, compound: bytes) -> None:
        self.send(self.sessions[0].protect_rtcp(compound))

    def carry_up(self) -> bool:
        """Bring what the engine has said to the server; returns whether there was anything."""
        outbox = self.engine.datagrams()
        for data in outbox:
            self.send(data)
        return bool(outbox)

    def carry_down(self, data: bytes) -> None:
        """Take a datagram from the server."""
        if self.lose_down(data):
            return
        if 128 <= data[0] <= 191:
            if 192 <= data[1] <= 223:
                self.rtcp.append(self.sessions[1].unprotect_rtcp(data))
            else:
                self.rtp.append(self.sessions[1].unprotect(data))
            return
        try:
            self.engine.receive(data, self.world.now)
        except BadPacket:
            pass  # a client that has broken its own association need not understand the answers
        self.engine.answers.clear()
        while self.engine.messages:
            self._on_text(self, self.engine.messages.pop(0))

    @property
    def deadline(self) -> float | None:
        return self.engine.deadline

    def handle_timeout(self, now: float) -> None:
        if self.engine.deadline is not None and self.engine.deadline <= now:
            self.engine.handle_timeout(now)


class WorldClient:
    """One participant. ``approves`` says whom it trusts; it answers every CONFPART by that."""

    def __init__(
        self,
        world: World,
        user: str,
        call: str,
        *,
        client: str = "_",
        host: str = "203.0.113.1",
        video_slots: int = 4,
        beats: bool = True,
    ) -> None:
        self.world = world
        self.id = ParticipantId(user, client)
        self.call = call
        self.host = host
        world.clients.append(self)
        self.number = len(world.clients)
        self.video_slots = video_slots
        self.ends: list[ClientEnd] = []
        self.messages: list[Json] = []
        self.approves: Callable[[str], bool] | None = lambda user: True
        self.sends_checks = self.sends_pings = beats
        self._beats = 0
        self.sequences: dict[int, int] = {}
        """The next sequence number of each SSRC."""

    # Joining and leaving.

    def join(self, *, update: bool = False) -> ClientEnd:
        """All steps up to the open channel."""
        reply = self.connect(update=update)
        assert isinstance(reply, Offered), reply
        reply = self.answer()
        assert isinstance(reply, Accepted), reply
        self.start()
        assert self.newest.engine.channel_open
        return self.newest

    def connect(self, *, update: bool = False, **fields: Any) -> Reply:
        """CONFCONN; ``fields``: further ones of the request."""
        slots = self.video_slots
        request = Connect(self.call, self.id, self.host, update=update, video_slots=slots, **fields)
        reply = self.world.calls.handle(request, self.world.now)
        if isinstance(reply, Offered):
            self.ends.append(ClientEnd(self, len(self.ends), reply.sdp))
        return reply

    def answer(self, **replacements: str) -> Reply:
        """SETUP with the SDP answer."""
        return self.answer_with(self.newest.answer(**replacements))

    def answer_with(self, sdp: str) -> Reply:
        return self.world.calls.handle(Answer(self.call, self.id, sdp), self.world.now)

    def start(self) -> None:
        """ICE, DTLS, SCTP; then the periodic signs of life begin."""
        self.newest.start()
        self.world.settle()
        if len(self.ends) == 1:
            self.world.client_timers.call_at(self.world.now + BEAT, self._beat)

    def leave(self) -> None:
        """HANGUP."""
        self.say("HANGUP")

    def close(self) -> None:
        """Say goodbye in SCTP and DTLS only."""
        self.end.engine.close(self.world.now)
        self.world.settle()

    def vanish(self) -> None:
        """No packet comes or goes any more."""
        for end in self.ends:
            end.lose_up = end.lose_down = everything

    def come_back(self) -> None:
        for end in self.ends:
            end.lose_up = end.lose_down = nothing

    @property
    def newest(self) -> ClientEnd:
        return self.ends[-1]

    @property
    def end(self) -> ClientEnd:
        """The newest connection that is open."""
        return [end for end in self.ends if end.engine.channel_open][-1]

    # What is said on the data channel.

    def say(self, type: str, **fields: Any) -> None:
        self.say_text(json.dumps(message(type, self.call, self.id.user, **fields)))

    def say_text(self, text: str) -> None:
        self.end.engine.send(text, self.world.now)
        self.world.settle()

    def say_bytes(self, data: bytes) -> None:
        """Send a binary message."""
        sctp = self.end.engine.sctp
        assert sctp is not None
        assert sctp._channel is not None
        sctp._loop.run(self.world.now, sctp._channel.send, data)
        self.end.engine.handle_timeout(self.world.now)
        self.world.settle()

    def approve(self, *users: str, **changes: str) -> None:
        """Approve exactly these of the newest list; ``changes`` replace keys of their entries."""
        parts = [
            {**part, "authorized": part["userid"] in users, **changes}
            for part in self.roster
            if part["userid"] != self.id.user
        ]
        self.say("CONFPART", resp=True, participants=parts)

    def want(self, *users: str, quality: int = 0) -> None:
        """CONFSTREAMS."""
        streams = [{"userid": user, "quality": quality} for user in users]
        self.say("CONFSTREAMS", mode="list", streams=streams)

    def take(self, end: ClientEnd, text: str) -> None:
        """A message came."""
        received = json.loads(text)
        self.messages.append(received)
        if received["type"] == "CONFPART" and self.approves is not None:
            parts = [
                {**part, "authorized": True}
                for part in received["participants"]
                if part["userid"] != self.id.user and self.approves(part["userid"])
            ]
            answer = message("CONFPART", self.call, self.id.user, resp=True, participants=parts)
            end.engine.send(json.dumps(answer), self.world.now)

    def of_type(self, type: str) -> list[Json]:
        return [received for received in self.messages if received["type"] == type]

    @property
    def roster(self) -> list[Json]:
        """The participants of the newest CONFPART."""
        parts: list[Json] = self.of_type("CONFPART")[-1]["participants"]
        return parts

    @property
    def users(self) -> list[str]:
        """Whom the newest CONFPART lists."""
        return [part["userid"] for part in self.roster]

    # Media.

    def talk(self, count: int = 1, *, level: int = 20) -> list[bytes]:
        """Send so many packets of audio at once; returns their payloads."""
        ssrc = self.end.audio_ssrc
        sequence = self._advance(ssrc, count)
        packets = rtp.audio(ssrc, count, sequence=sequence, timestamp=960 * sequence, level=level)
        return self._send(packets)

    def show(
        self, frames: int = 1, *, rid: str = "h", keyframe: bool = True, ssrc: int | None = None
    ) -> list[bytes]:
        """Send so many frames of video, one packet each, at once; returns their payloads."""
        ssrc = ssrc or self.end.audio_ssrc + {"h": 100, "l": 200}[rid]
        sequence = self._advance(ssrc, frames)
        keyframes = (0,) if keyframe else ()
        packets = rtp.video(
            ssrc,
            frames,
            per_frame=1,
            keyframes=keyframes,
            sequence=sequence,
            timestamp=3000 * sequence,
            rid=rid,
        )
        return self._send(packets)

    @property
    def packets(self) -> list[RtpPacket]:
        """All media that came, in order, on whatever connection."""
        return [RtpPacket.parse(data) for end in self.ends for data in end.rtp]

    def heard(self, other: WorldClient) -> list[bytes]:
        """Payloads of the other's audio: it carries the audio SSRC of its newest connection."""
        return [packet.payload for packet in self.packets if packet.csrc == (other.end.audio_ssrc,)]

    def seen(self, other: WorldClient) -> list[bytes]:
        """Payloads of the other's video."""
        return [packet.payload for packet in self.packets if packet.csrc == (other.video_name,)]

    @property
    def video_name(self) -> int:
        """The made-up SSRC that stands for this participant's video."""
        return self.world.call(self.call).participants[self.id].ssrc_video

    def _send(self, packets: list[RtpPacket]) -> list[bytes]:
        for packet in packets:
            self.end.send_rtp(packet.pack())
        self.world.settle()
        return [packet.payload for packet in packets]

    def _advance(self, ssrc: int, count: int) -> int:
        sequence = self.sequences.get(ssrc, 1000)
        self.sequences[ssrc] = sequence + count
        return sequence

    def _beat(self, now: float) -> None:
        """The periodic signs of life."""
        self._beats += 1
        alive = [end for end in self.ends if end.engine.channel_open and not end.engine.closed]
        if not alive:
            return
        for end in alive:
            if self.sends_checks:
                end.engine.check()
        if self.sends_pings and self._beats % 2:
            self.say("PING")
        self.world.client_timers.call_at(now + BEAT, self._beat)


def first(text: str, pattern: str) -> str:
    """The first group of the first match."""
    match = re.search(pattern, text)
    assert match is not None, pattern
    return match[1]


def refusal(reply: Reply) -> Refusal | None:
    """Why it was refused; None if it was not."""
    return reply.reason if isinstance(reply, Refused) else None
