"""A light client: everything a participant says on the wire, nothing a browser does with it.

Real sockets, ICE checks, DTLS, SCTP and SRTP, driven by a ``Fleet``, so that hundreds fit into
one process. DTLS and SCTP are the server's own engines in the other role; tests/e2e has the independent
clients, this one is for load.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import uuid
from typing import TYPE_CHECKING, Any

from pylibsrtp import Session

from sft.errors import BadPacket
from sft.webrtc import rtcp, stun
from sft.webrtc.dtls import DtlsSession
from sft.webrtc.events import ChannelOpen, Message
from sft.webrtc.sctp import SctpAssociation
from sft.webrtc.srtp import inbound_session, outbound_session
from sft_load.http_connection import HttpConnection
from sft_load.media import AudioSource, Stream, VideoSource

if TYPE_CHECKING:
    from sft_load.fleet import Fleet

CHECK_SECONDS = 2.5
PING_SECONDS = 5.0
REPORT_SECONDS = 1.0
RECEIVE_BUFFER = 1 << 20

_SSRC_AT = struct.Struct("!8xI")
_ORIGIN = re.compile(r'"src_userid":"([^"]*)"')
_PROPS = {"videosend": "true", "screensend": "false", "audiocbr": "false", "muted": "false"}


class Client:
    """One participant. Its states are events with the time they came: 0.0 means not yet."""

    def __init__(self, fleet: Fleet, call: str, video_slots: int) -> None:
        self.user = uuid.uuid4().hex
        self.call = call
        self.asked_at = self.answered_at = self.open_at = 0.0
        self.failed: str | None = None
        self.roster: list[dict[str, Any]] = []
        self.roster_at = 0.0
        """When the newest roster came; it is approved at once."""
        self.known: set[str] = set()
        """Whose PROPSYNC was relayed to us: the server has taken their approval of us."""
        self.streams: dict[int, Stream] = {}
        self.strangers = 0
        """Packets with an SSRC that was never offered, or that do not decrypt."""
        self.bad = 0
        """DTLS and SCTP packets that make no sense; what is late may be among them."""
        self.packets = 0
        self.audio: AudioSource | None = None
        self.video: VideoSource | None = None
        self.ssrc_audio, self._ssrc_video = (int.from_bytes(os.urandom(4), "big") for _ in range(2))
        self._label_video = 0
        self._fleet = fleet
        self._video_slots = video_slots
        self._http = HttpConnection(fleet.server)
        self._ufrag, self._pwd = os.urandom(4).hex(), os.urandom(12).hex()
        self._socket: socket.socket | None = None
        self._check: bytes = b""
        self._dtls = DtlsSession(fleet.context, is_server=False)
        self._dtls_started = False
        self._sctp: SctpAssociation | None = None
        self._inbound: Session | None = None
        self._outbound: Session | None = None
        self._check_at = self._ping_at = self._report_at = float("inf")

    # Joining.

    def join(self, now: float) -> None:
        """Ask; the rest follows from what comes back."""
        self.asked_at = now
        self._fleet.watch(self._http.fd, self._http.on_readable)
        body = self._message(
            "CONFCONN",
            update=False,
            tool="sft-load",
            toolver="10.0.0",
            selective_audio=True,
            selective_video=True,
            vstreams=self._video_slots,
        )
        self._http.post(f"/sft/{self.call}", body.encode(), self._offered)

    def _offered(self, status: int, body: bytes, now: float) -> None:
        reply = json.loads(body) if status == 200 else {}
        if reply.get("type") != "SETUP":
            self.failed = f"CONFCONN: HTTP {status} {body[:200]!r}"
            self._close_http()
            return
        offer: str = reply["sdp"]
        candidate = _value(offer, "candidate:").split()
        remote = f"{_value(offer, 'ice-ufrag:')}:{self._ufrag}"
        self._dtls.set_fingerprints([("sha-256", _value(offer, "fingerprint:sha-256 "))])
        self.streams = {int(ssrc): Stream() for ssrc in re.findall(r"a=ssrc:(\d+) cname", offer)}
        attributes = [
            (stun.USERNAME, remote.encode()),
            (stun.ICE_CONTROLLING, bytes(8)),
            (stun.PRIORITY, bytes.fromhex("6e7e1eff")),
            (stun.USE_CANDIDATE, b""),
        ]
        key = _value(offer, "ice-pwd:").encode()
        self._check = stun.write(stun.Kind.REQUEST, stun.BINDING, os.urandom(12), attributes, key)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.setblocking(False)
        self._socket.connect((candidate[4], int(candidate[5])))
        self._fleet.watch(self._socket.fileno(), self._on_readable)
        self._check_at = now
        answer = self._message("SETUP", resp=True, sdp=self._answer(), props=_PROPS)
        self._http.post(f"/sft/{self.call}", answer.encode(), self._answered)
        self.tick(now)

    def _answer(self) -> str:
        lines = [
            "v=0",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
            "a=mid:audio",
            "a=rtcp-mux",
            f"a=ice-ufrag:{self._ufrag}",
            f"a=ice-pwd:{self._pwd}",
            f"a=fingerprint:sha-256 {self._fleet.context.identity.fingerprint}",
            "a=setup:active",
            f"a=ssrc:{self.ssrc_audio} cname:load",
            "m=video 9 UDP/TLS/RTP/SAVPF 100",
            "a=mid:video",
            "a=rtcp-mux",
            "a=rtcp-fb:100 nack pli",
            f"a=ssrc:{self._ssrc_video} cname:load",
            "m=application 9 DTLS/SCTP 5000",
            "a=mid:data",
        ]
        return "\r\n".join(lines) + "\r\n"

    def _answered(self, status: int, body: bytes, now: float) -> None:
        self.answered_at = now
        if status != 200:
            self.failed = f"SETUP: HTTP {status} {body[:200]!r}"
        self._close_http()

    def _close_http(self) -> None:
        self._fleet.unwatch(self._http.fd)
        self._http.close()

    # What comes.

    def _on_readable(self, now: float) -> None:
        assert self._socket is not None
        recv, media = self._socket.recv, self._media
        while True:
            try:
                data = recv(2048)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                self.failed = self.failed or "the server closed the port"
                return
            if 128 <= data[0] <= 191:
                media(data)
            elif data[0] <= 3:
                if not self._dtls_started:
                    self._dtls_started = True
                    self._dtls.start(now)
                    self._flush(now)
            else:
                try:
                    self._dtls.receive_untrusted(data, now)
                except BadPacket:
                    self.bad += 1
                self._flush(now)

    def _media(self, data: bytes) -> None:
        if self._inbound is None:
            self.strangers += 1
        elif 192 <= data[1] <= 223:
            for packet in rtcp.parse_compound_untrusted(self._inbound.unprotect_rtcp(data)):
                if isinstance(packet, (rtcp.Pli, rtcp.Fir)) and self.video is not None:
                    self.video.keyframe = True
        else:
            stream = self.streams.get(_SSRC_AT.unpack_from(data)[0])
            if stream is None:
                self.strangers += 1
            else:
                self.packets += 1
                stream.take(self._inbound.unprotect(data))

    def _flush(self, now: float) -> None:
        """Carry between DTLS, SCTP and the socket."""
        dtls, sctp = self._dtls, self._sctp
        if sctp is None and dtls.srtp is not None:
            self._inbound, self._outbound = inbound_session(dtls.srtp), outbound_session(dtls.srtp)
            sctp = self._sctp = SctpAssociation(os.urandom, now, is_server=False, opens_channel=False)
        if sctp is not None:
            for packet in dtls.received():
                try:
                    sctp.receive_untrusted(packet, now)
                except BadPacket:
                    self.bad += 1
            for event in sctp.events():
                if isinstance(event, Message):
                    self._take_message(event.text, now)
                elif isinstance(event, ChannelOpen):
                    self._opened(now)
                else:
                    self.failed = event.reason
            for packet in sctp.datagrams():
                dtls.send(packet)
        if dtls.closed is not None:
            self.failed = self.failed or dtls.closed
        for data in dtls.datagrams():
            self._send(data)

    def _opened(self, now: float) -> None:
        self.open_at = now
        self._ping_at = now + PING_SECONDS
        self._report_at = now + REPORT_SECONDS
        self._say("PROPSYNC", now, props=_PROPS)

    def _take_message(self, text: str, now: float) -> None:
        head = text[:40]
        if '"PROPSYNC"' in head:
            if found := _ORIGIN.search(text):
                self.known.add(found[1])
        elif '"CONFPART"' in head:
            self.roster, trusted = self._fleet.read_roster(text)
            self.roster_at = now
            self._label_video = next(
                (int(entry["ssrc_video"]) for entry in self.roster if entry["userid"] == self.user), 0
            )
            self._send_text(self._message("CONFPART", resp=True, participants=[])[:-2] + trusted + "}", now)

    # What goes.

    def watch(self, users: list[str], now: float) -> None:
        """Ask for these participants' videos."""
        self._say("CONFSTREAMS", now, mode="list", streams=[{"userid": u, "quality": 2} for u in users])

    def send_audio(self) -> None:
        if self.audio is not None and self._outbound is not None:
            self._send(self._outbound.protect(self.audio.next(self.ssrc_audio)))

    def send_video(self) -> None:
        if self.video is not None and self._outbound is not None:
            self._send(self._outbound.protect(self.video.next(self._label_video)))

    def start_video(self, size: int, per_frame: int) -> None:
        self.video = VideoSource(self._ssrc_video, size, per_frame)

    def start_audio(self, level: int) -> None:
        self.audio = AudioSource(self.ssrc_audio, level)

    def tick(self, now: float) -> None:
        """Do what is due; call it every 50 ms or so."""
        if now >= self._check_at:
            self._check_at = now + CHECK_SECONDS
            self._send(self._check)
        if now >= self._report_at:
            self._report_at = now + REPORT_SECONDS
            self._report(now)
        if now >= self._ping_at:
            self._ping_at = now + PING_SECONDS
            self._say("PING", now)
        dtls, sctp = self._dtls, self._sctp
        if dtls.deadline is not None and now >= dtls.deadline:
            dtls.handle_timeout(now)
            self._flush(now)
        if sctp is not None and (deadline := sctp.deadline) is not None and now >= deadline:
            sctp.handle_timeout(now)
            self._flush(now)

    def _report(self, now: float) -> None:
        """A sender report per source, a reception report on what comes (RFC 3550 section 6.4)."""
        if self._outbound is None:
            return
        blocks = [
            rtcp.ReportBlock(ssrc, 0, stream.lost, stream.highest, 0, 0, 0)
            for ssrc, stream in self.streams.items()
            if stream.received
        ]
        compound = rtcp.write_receiver_report(self.ssrc_audio, blocks[:31])
        for source in (self.audio, self.video):
            if source is not None:
                ntp = rtcp.ntp_from_unix(now + 1.7e9)
                args = source.ssrc, ntp, source.timestamp, source.sent, source.octets
                compound += rtcp.write_sender_report(*args)
        self._send(self._outbound.protect_rtcp(compound))

    def _say(self, type: str, now: float, **fields: object) -> None:
        self._send_text(self._message(type, resp=False, **fields), now)

    def _send_text(self, text: str, now: float) -> None:
        if self._sctp is not None and self._sctp.is_open:
            self._sctp.send(text, now)
            self._flush(now)

    def _message(self, type: str, *, resp: bool = False, **fields: object) -> str:
        envelope = {
            "version": "3.0",
            "type": type,
            "sessid": self.call,
            "src_userid": self.user,
            "src_clientid": "_",
            "dest_userid": "SFT",
            "dest_clientid": "_",
            "resp": resp,
        }
        return json.dumps({**envelope, **fields}, separators=(",", ":"))

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send(data)
        except BlockingIOError:
            self.failed = self.failed or "the client could not send"
        except ConnectionRefusedError:
            self.failed = self.failed or "the server closed the port"

    def close(self) -> None:
        """Vanish."""
        if self._socket is not None:
            self._fleet.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None


def _value(sdp: str, name: str) -> str:
    """The rest of the first line that begins ``a=<name>``."""
    start = sdp.index(f"a={name}") + len(name) + 2
    return sdp[start : sdp.index("\r\n", start)]
