"""One connection to the server on aiortc's ICE, DTLS, SRTP and SCTP, with RTP as raw bytes.

Runs in the client's own process only (:mod:`support.aiortc_client`). aiortc's media code, which would
encode and decode, is left out: packets go out below ``RTCRtpSender`` and are taken before
``RTCRtpReceiver``.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import aioice.ice
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)

aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [
    "127.0.0.1"
]  # the tests' network; not its default

CANDIDATE = re.compile(r"a=(?:candidate:.*|end-of-candidates)\r\n")
SIMULCAST = re.compile(r"a=(?:rid|simulcast):.*\r\n")
EXTENSION = re.compile(r"(a=extmap:\d+ \S+).*\r\n")
SSRC = re.compile(r"a=ssrc(?:-group)?:.*\r\n")


class Leg:
    """One RTCPeerConnection, from the server's offer to its end."""

    def __init__(self) -> None:
        self.on_rtp: Callable[[bytes], None] = lambda data: None
        self.on_rtcp: Callable[[bytes], None] = lambda data: None
        self.on_message: Callable[[str], None] = lambda text: None
        self.on_closed: Callable[[], None] = lambda: None
        self.opened = asyncio.Event()
        self.ssrcs: dict[str, int] = {}
        """Of our own streams, by mid: ``audio``, ``video``, and ``h`` and ``l`` for its layers."""
        self.lose_every = 0
        """Drop every n-th arriving RTP packet, as a network would; 0: none."""
        self._arrived = 0
        self._channel: RTCDataChannel | None = None
        self._connection = RTCPeerConnection(
            RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        )
        self._connection.on("datachannel", self._take_channel)
        self._connection.on("connectionstatechange", self._state_changed)

    @property
    def state(self) -> str:
        return self._connection.connectionState

    async def answer(self, offer: str) -> str:
        """Take the server's offer and give our answer, complete with candidates."""
        simulcast = "a=simulcast:" in offer
        connection = self._connection
        await connection.setRemoteDescription(RTCSessionDescription(_for_aiortc(offer), "offer"))
        for transceiver in connection.getTransceivers():
            transceiver.sender.send = _do_nothing  # type: ignore[method-assign]  # the point of this module
            transceiver.receiver.receive = _do_nothing  # type: ignore[method-assign]  # as above
            if transceiver.mid in ("audio", "video"):
                transceiver.direction = "sendrecv"
                self.ssrcs[transceiver.mid] = transceiver.sender._ssrc
        if simulcast:
            self.ssrcs["h"] = self.ssrcs["video"]
            self.ssrcs["l"] = self.ssrcs["video"] ^ 1
        dtls = connection.getTransceivers()[0].receiver.transport
        dtls._handle_rtp_data = self._take_rtp  # type: ignore[method-assign]  # as above
        dtls._handle_rtcp_data = self._take_rtcp  # type: ignore[method-assign]  # as above
        self._dtls = dtls
        self._receive = dtls.transport._recv
        dtls.transport._recv = self._receive_with_losses
        await connection.setLocalDescription(await connection.createAnswer())
        answer: str = connection.localDescription.sdp
        return _with_layers(answer) if simulcast else answer

    async def send_rtp(self, packet: bytes) -> None:
        """Protect and send one RTP packet or RTCP compound; told apart by the second byte (RFC 5761)."""
        await self._dtls._send_rtp(packet)

    def send_text(self, text: str) -> None:
        assert self._channel is not None
        self._channel.send(text)

    async def close(self) -> None:
        self.on_closed = lambda: None
        await self._connection.close()

    def _take_channel(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", lambda text: self.on_message(text))
        self.opened.set()

    def _state_changed(self) -> None:
        if self._connection.connectionState in ("closed", "failed"):
            self.on_closed()

    async def _receive_with_losses(self) -> bytes:
        while True:
            data: bytes = await self._receive()
            is_rtp = 128 <= data[0] <= 191 and not 192 <= data[1] <= 223  # RFC 7983, RFC 5761
            self._arrived += is_rtp
            if not (is_rtp and self.lose_every and self._arrived % self.lose_every == 0):
                return data

    async def _take_rtp(self, data: bytes, arrival_time_ms: int) -> None:
        self.on_rtp(data)

    async def _take_rtcp(self, data: bytes) -> None:
        self.on_rtcp(data)


async def _do_nothing(parameters: object) -> None:
    """In place of aiortc's own sending and receiving of media."""


def _for_aiortc(offer: str) -> str:
    """aiortc knows no simulcast and no attributes of header extensions, and of a bundle it takes the
    candidates in the last m-line only."""
    offer = EXTENSION.sub(r"\1\r\n", SIMULCAST.sub("", offer))
    candidates = "".join(CANDIDATE.findall(offer))
    session, *sections = re.split(r"(?m)^(?=m=)", CANDIDATE.sub("", offer))
    return session + "".join(section + candidates for section in sections)


def _with_layers(answer: str) -> str:
    """As a browser answers to simulcast: layers by RID, no SSRC of the video."""
    session, audio, video, *rest = re.split(r"(?m)^(?=m=)", answer)
    video = SSRC.sub("", video) + "a=rid:l send\r\na=rid:h send\r\na=simulcast:send l;h\r\n"
    return "".join([session, audio, video, *rest])
