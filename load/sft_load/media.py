"""What one client sends: audio and layers of video, with reports on them and on what it receives."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from sft.forwarding.libsrtp import pointer
from sft.model import SrtpParameters
from sft.webrtc import rtcp
from sft.webrtc.srtp import outbound_session
from sft_load.packets import AUDIO_BYTES, AudioSource, VideoSource
from sft_load.streams import Stream


class Media:
    """The sending half of a client's media. Nothing leaves before :meth:`open`."""

    def __init__(self, send: Callable[[bytes | memoryview], None]) -> None:
        self.audio: AudioSource | None = None
        self.layers: dict[int, VideoSource] = {}
        """By SSRC."""
        self.ssrc_audio, self.ssrc_video = (int.from_bytes(os.urandom(4), "big") for _ in range(2))
        self.label_video = 0
        """What the server calls our video (protocol section 5.3)."""
        self._send = send
        self._transport_sequence = 0
        self._outbound: Any = None  # srtp_t; the session it belongs to is kept with it
        self._session: Any = None

    def open(self, srtp: SrtpParameters) -> None:
        """There are keys."""
        self._session = outbound_session(srtp)
        self._outbound = pointer(self._session)

    @property
    def sources(self) -> list[AudioSource | VideoSource]:
        audio: list[AudioSource | VideoSource] = [] if self.audio is None else [self.audio]
        return audio + list(self.layers.values())

    def start_audio(self, level: int, size: int = AUDIO_BYTES, ticks: int = 960) -> AudioSource:
        self.audio = AudioSource(self.ssrc_audio, size, ticks)
        self.audio.level = level
        return self.audio

    def start_video(self, size: int, per_frame: int, rid: str = "", ticks: int = 3000) -> VideoSource:
        """``rid``: one of those the client was made with."""
        ssrc = int.from_bytes(os.urandom(4), "big") if rid else self.ssrc_video
        source = self.layers[ssrc] = VideoSource(ssrc, size, per_frame, rid, ticks)
        return source

    def send_audio(self) -> None:
        if self.audio is not None and self._outbound is not None:
            self._send(self.audio.protect(self._outbound, self.ssrc_audio))

    def send_video(self, source: VideoSource) -> None:
        """One packet."""
        if self._outbound is not None:
            self._transport_sequence += 1
            self._send(source.protect(self._outbound, self.label_video, self._transport_sequence))

    def send_frame(self, source: VideoSource) -> None:
        for _ in range(source.per_frame):
            self.send_video(source)

    def take_feedback_untrusted(self, compound: bytes) -> None:
        """What the server says of it: keyframes that it wants, layers that it knows."""
        for packet in rtcp.parse_compound_untrusted(compound):
            if isinstance(packet, rtcp.Pli):
                self._want_keyframe(packet.media)
            elif isinstance(packet, rtcp.Fir):
                for media, _ in packet.commands:
                    self._want_keyframe(media)
            elif isinstance(packet, rtcp.ReceiverReport):
                for block in packet.blocks:
                    if (source := self.layers.get(block.ssrc)) is not None:
                        source.named = True

    def report(self, received: Mapping[int, Stream], now: float) -> None:
        """A sender report per source, a reception report on what comes (RFC 3550 section 6.4)."""
        if self._session is None:
            return
        blocks = [
            rtcp.ReportBlock(ssrc, 0, stream.lost, stream.highest, 0, 0, 0)
            for ssrc, stream in received.items()
            if stream.highest >= 0
        ]
        compound = rtcp.write_receiver_report(self.ssrc_audio, blocks[:31])
        for source in self.sources:
            ntp = rtcp.ntp_from_unix(now + 1.7e9)
            compound += rtcp.write_sender_report(
                source.ssrc, ntp, source.timestamp, source.sent, source.octets
            )
        self._send(self._session.protect_rtcp(compound))

    def _want_keyframe(self, ssrc: int) -> None:
        if (source := self.layers.get(ssrc)) is not None:
            source.keyframe = True
