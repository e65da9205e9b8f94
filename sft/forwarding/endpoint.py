"""The packet-path half of a participant: its keys, what it sends and what it is sent."""

from __future__ import annotations

import math
import uuid
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from sft.errors import LocalError
from sft.forwarding.budget import Budget
from sft.forwarding.clock import ParticipantClock
from sft.forwarding.layers import costs
from sft.forwarding.libsrtp import Inbound
from sft.forwarding.quality import Quality
from sft.forwarding.repair import IN_VAIN, RepeatBudget
from sft.forwarding.slot import Slot
from sft.forwarding.source import Source
from sft.model import Address, Drops, MediaKind, ParticipantId, RandomBytes, SrtpParameters
from sft.webrtc.rtcp import write_receiver_report
from sft.webrtc.rtp import PAYLOAD_VIDEO
from sft.webrtc.srtp import inbound_session
from sft.webrtc.twcc import TransportRecorder

if TYPE_CHECKING:
    from sft.forwarding.table import Table
    from sft.plugin.interfaces import Base, Engine, Outlet, Receive

RIDS = {ord("h"): "h", ord("l"): "l"}
"""Layers by the character code of their RID (protocol section 6.1)."""

MAX_RETIRED = 8
MAX_REPAIRS = 4
MAX_RTCP_SENDERS = 16


def _to_nobody(base: Base, data: bytes, address: Address, now: float) -> None:
    """Where control datagrams go before anybody has asked for them."""


class Endpoint:
    """One per peer connection: a reconnecting participant gets a new one, with new SSRCs to learn."""

    __slots__ = (
        "_has_sent",
        "_path",
        "_repairs",
        "_retired",
        "_rtcp_senders",
        "_ssrcs",
        "_video_ssrcs",
        "audio",
        "audio_nack",
        "audio_receivers",
        "audio_slots",
        "audio_ssrc",
        "budget",
        "clock",
        "control",
        "downstream",
        "drops",
        "empty_report",
        "engine",
        "inbound",
        "keyframes_asked",
        "keyframes_wanted",
        "last_alive",
        "last_rtcp",
        "layers",
        "octets",
        "on_first_media",
        "outlet",
        "packets",
        "padding",
        "participant",
        "repeat_budget",
        "report_at",
        "round_trip",
        "rtcp_ssrc",
        "slots",
        "sources",
        "ssrc_video",
        "table",
        "transport",
        "upstream",
        "video_nack",
        "video_receivers",
        "video_slots",
        "viewers",
    )

    def __init__(
        self,
        participant: ParticipantId,
        ssrc_video: int,
        audio_slots: int,
        video_slots: int,
        engine: Engine,
        drops: Drops,
        random: RandomBytes,
    ) -> None:
        """``ssrc_video``: the number that stands for this participant's video, whatever its layer
        (protocol section 5.3). ``audio_slots``, ``video_slots``: how many to offer it."""
        self.participant = participant
        self.ssrc_video = ssrc_video
        self.engine = engine
        self.drops = drops
        self.control: Receive = _to_nobody
        """Takes STUN and DTLS, and everything else that is not media."""
        self.table: Table | None = None

        # As a sender.
        self.inbound: Inbound | None = None
        self.audio_ssrc: int | None = None
        self.audio_nack = self.video_nack = False
        self._video_ssrcs: frozenset[int] = frozenset()
        self.sources: dict[int, Source] = {}
        self.audio: Source | None = None
        self.layers: dict[str, Source] = {}
        self._retired: deque[int] = deque(maxlen=MAX_RETIRED)
        self._repairs: dict[int, str] = {}  # SSRCs of RTX streams -> the layer they repair
        self.audio_receivers: frozenset[Endpoint] = frozenset()
        self.video_receivers: frozenset[Endpoint] = frozenset()
        self.viewers: dict[Slot, None] = {}
        """Video slots, of whomever, that want this participant's video."""
        self.transport = TransportRecorder()
        self.clock = ParticipantClock()
        self._rtcp_senders: set[int] = set()
        self.upstream = Quality()
        self.keyframes_asked = 0
        """Requests sent to it."""
        self._has_sent = False
        self.on_first_media: Callable[[float], None] = lambda now: None
        """Told when its first packet of media has come."""

        # As a receiver.
        self.outlet: Outlet | None = None
        self._path: tuple[Base, Address] | None = None
        self._ssrcs: set[int] = {0}
        self.rtcp_ssrc = self._new_ssrc(random)
        """Sender SSRC of our RTCP, announced in the offer's ``video`` section."""
        self.empty_report = write_receiver_report(self.rtcp_ssrc)
        """What feedback goes out behind."""
        self.audio_slots = tuple(
            self._make_slot(MediaKind.AUDIO, 1 + index, random) for index in range(audio_slots)
        )
        self.video_slots = tuple(
            self._make_slot(MediaKind.VIDEO, 1 + audio_slots + index, random) for index in range(video_slots)
        )
        self.slots = {slot.ssrc: slot for slot in (*self.audio_slots, *self.video_slots)}
        self.repeat_budget = RepeatBudget()
        self.downstream = Quality()
        self.round_trip = 0.0
        """Seconds; 0: not known yet."""
        self.keyframes_wanted = 0
        """Requests that came from it."""
        self.budget = Budget(costs)
        self.padding = 0
        """Octets of padding sent to it."""
        self.report_at = 0.0
        """When the next RTCP reports are due."""

        self.last_alive = float("-inf")
        """When the last authenticated SRTP or SRTCP packet came."""
        self.last_rtcp = float("inf")
        """When the last RTCP came; before the first one nobody was cut off."""
        self.packets = 0
        self.octets = 0

    def set_answer(
        self,
        audio_ssrc: int | None,
        video_ssrcs: tuple[int, ...],
        audio_nack: bool,
        video_nack: bool,
        remb: bool = False,
    ) -> None:
        """What the SDP answer says: SSRCs it names, whether the client answers generic NACKs, and whether it
        tells by REMB what it could receive."""
        self.audio_ssrc = audio_ssrc
        self._video_ssrcs = frozenset(video_ssrcs)
        self.audio_nack = audio_nack
        self.video_nack = video_nack
        self.budget.downlink.takes_remb = remb

    def open(self, srtp: SrtpParameters, now: float) -> None:
        """The handshake is done: media may flow."""
        if self.outlet is not None:
            raise LocalError("endpoint opened twice")
        self.inbound = Inbound(inbound_session(srtp))
        self.outlet = self.engine.open_outlet(srtp)
        if self._path is not None:
            self.outlet.set_path(*self._path)
        for slot in self.slots.values():
            slot.engine_slot = self.outlet.open_slot(slot.ssrc)
        self.report_at = now
        if self.table is not None:
            self.table.opened(self, now)

    @property
    def has_path(self) -> bool:
        return self._path is not None

    def set_path(self, base: Base, address: Address) -> None:
        """Where packets to this participant go from now on."""
        self._path = (base, address)
        if self.outlet is not None:
            self.outlet.set_path(base, address)

    def close(self) -> None:
        """Forget the keys. Take it off its table first. May be called twice."""
        self.inbound = None
        if self.outlet is not None:
            self.outlet.close()
        self.outlet = None
        for slot in self.slots.values():
            slot.engine_slot = None

    @property
    def video_octets(self) -> int:
        """Sent to it so far, with repeats and padding."""
        sent = sum([slot.octets for slot in self.video_slots])
        return sent + self.repeat_budget.octets + self.padding

    def learn(
        self, ssrc: int, payload_type: int, rid: int, empty: bool, sequence: int, now: float
    ) -> Source | None:
        """Make a source of an SSRC seen for the first time, or None if it is none of ours.

        Audio is known by the answer's SSRC. Video is known by its RID; without one, by an SSRC the
        answer named, or by its payload type as long as no layer is known. ``empty``: the packet has no
        payload, so it is believed only if it names its RID.
        """
        if self.table is None or ssrc in self._retired:
            return None
        if ssrc == self.audio_ssrc:
            self.audio = self._add_source(MediaKind.AUDIO, ssrc, "", ssrc, sequence, now)
            return self.audio
        layer = RIDS.get(rid)
        if layer is None:
            if rid >= 0 or payload_type != PAYLOAD_VIDEO or empty:
                return None
            if self.layers and ssrc not in self._video_ssrcs:
                return None
            layer = ""
        replaced = [self.layers[name] for name in {layer, ""} if name in self.layers]
        self.layers[layer] = source = self._add_source(
            MediaKind.VIDEO, ssrc, layer, self.ssrc_video, sequence, now
        )
        for old in replaced:
            self.retire(old, now)
        return source

    def repaired(self, ssrc: int, rid: int) -> Source | None:
        """The layer that an RTX stream repairs. It is known by its repaired RID, at first; without one it can
        only be that of the only layer."""
        layer = self._repairs.get(ssrc)
        if layer is None:
            layer = RIDS.get(rid) or ("" if rid < 0 else None)
            if layer is None or len(self._repairs) >= MAX_REPAIRS:
                return None
            self._repairs[ssrc] = layer
        return self.layers.get(layer)

    def retire(self, source: Source, now: float) -> None:
        """The stream has ended or was replaced; what is still under way of it is not taken for a new one."""
        self._retired.append(source.ssrc)
        self.sources.pop(source.ssrc, None)
        if self.audio is source:
            self.audio = None
        if self.layers.get(source.layer) is source:
            del self.layers[source.layer]
        self.forget(source.ssrc)
        if self.table is not None:
            self.table.drop_source(source, now)

    def admit_rtcp_sender(self, ssrc: int) -> bool:
        """Whether to listen to RTCP of this SSRC: of a few at most, libsrtp keeps state for each."""
        if ssrc in self._rtcp_senders or len(self._rtcp_senders) < MAX_RTCP_SENDERS:
            self._rtcp_senders.add(ssrc)
            return True
        self.forget(ssrc)
        return False

    def forget(self, ssrc: int) -> None:
        """Keep no SRTP state of an SSRC that is none of ours."""
        if self.inbound is not None:
            self.inbound.forget(ssrc)

    def _add_source(
        self, kind: MediaKind, ssrc: int, layer: str, csrc: int, sequence: int, now: float
    ) -> Source:
        if not self._has_sent:
            self._has_sent = True
            self.on_first_media(now)
        if kind is MediaKind.AUDIO:
            # Chrome repeats audio that was offered with ``nack``, and leaves the word out of its answer.
            hope = math.inf if self.audio_nack else IN_VAIN
        else:
            hope = math.inf if self.video_nack else 0
        source = self.sources[ssrc] = Source(self, kind, ssrc, layer, csrc, sequence, hope)
        return source

    def _make_slot(self, kind: MediaKind, mid: int, random: RandomBytes) -> Slot:
        label = str(uuid.UUID(bytes=random(16), version=4))
        # Below 2^15, or SRTP's roll-over counters may part when the first packets are lost.
        sequence = int.from_bytes(random(2), "big") & 0x7FFF
        timestamp = int.from_bytes(random(4), "big")
        return Slot(self, kind, str(mid), self._new_ssrc(random), label, sequence, timestamp)

    def _new_ssrc(self, random: RandomBytes) -> int:
        ssrc = 0
        while ssrc in self._ssrcs:
            ssrc = int.from_bytes(random(4), "big")
        self._ssrcs.add(ssrc)
        return ssrc
