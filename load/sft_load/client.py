"""A light client: everything a participant says on the wire, nothing a browser does with it.

Real sockets, HTTP, ICE checks, DTLS, SCTP and SRTP, driven by a ``Fleet``, so that hundreds fit into one
process. DTLS and SCTP are the server's own engines in the other role; tests/e2e has the independent
clients, this one is for load.

A client that is *checked* decrypts and reads each packet it gets. The others count by the RTP header, which
is in the clear, and decrypt only RTCP.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sft.errors import BadPacket
from sft.forwarding.libsrtp import Inbound
from sft.webrtc.events import ChannelOpen, Connected, Message
from sft.webrtc.srtp import inbound_session
from sft_load.batch import COUNT
from sft_load.channel import Channel
from sft_load.errors import JoinError, LoadError
from sft_load.http import HttpConnection, read_url
from sft_load.ice import Checks
from sft_load.media import Media
from sft_load.messages import HIGH, PROPS, Writer, check_status, read_setup, read_untrusted
from sft_load.reception import Reception
from sft_load.sdp import Offer, Ours, read_offer, write_answer
from sft_load.udp import UdpPath

if TYPE_CHECKING:
    from sft_load.fleet import Fleet

FIRST_CHECKS_SECONDS = 0.05
TRIES = 10
"""Checks to a candidate before the next one has its turn."""

CHECK_SECONDS = 2.5
PING_SECONDS = 5.0
REPORT_SECONDS = 1.0

_ORIGIN = re.compile(r'"src_userid":"([^"]*)"')


class Client:
    """One participant. Its states are events with the time they came: 0.0 means not yet."""

    def __init__(
        self, fleet: Fleet, call: str, video_slots: int, *, checked: bool = True, rids: Sequence[str] = ()
    ) -> None:
        """``rids``: the names of its simulcast layers; none: one video under an SSRC that is announced."""
        self.user = uuid.uuid4().hex
        self.call = call
        self.checked = checked
        self.asked_at = self.open_at = 0.0
        self.failed: str | None = None
        self.closed = False
        self.roster: list[dict[str, Any]] = []
        """Of the newest CONFPART; everybody in it is approved at once."""
        self.known: set[str] = set()
        """Whose PROPSYNC was relayed to us: the server has taken their approval of us."""
        self.received = Reception(fleet.latency if checked else None)
        self.audio_slots = self.video_slots = 0
        self.media = Media(self._send)
        self.on_open: Callable[[float], None] = lambda now: None
        self.on_roster: Callable[[float], None] = lambda now: None
        self.on_second: Callable[[float], None] = lambda now: None
        """Once a second, while it is in the call."""
        self.on_end: Callable[[float], None] = lambda now: None
        """It has failed, or its leaving is done."""
        self._rids = rids
        self._fleet = fleet
        self._wanted_slots = video_slots
        self._writer = Writer(call, self.user)
        self._http: HttpConnection | None = None
        self._checks = Checks(os.urandom)
        self._path: UdpPath | None = None
        self._channel = Channel(fleet.context)
        self._check_at = self._ping_at = self._report_at = float("inf")
        self._timer = fleet.timers.timer(self._tick)
        self._leaving = False
        self._tries = self._bad = 0

    @property
    def server_address(self) -> tuple[str, int]:
        """The server's end of the path; only while it has one."""
        assert self._path is not None
        return self._path.remote

    # Joining.

    def join(self, now: float) -> None:
        """Ask; the rest follows from what comes back."""
        self.asked_at = now
        self._http = HttpConnection(self._fleet.url, self._fleet)
        body = self._writer.join(self._wanted_slots, self._fleet.credentials)
        self._http.post(f"sft/{self.call}", body.encode(), self._offered, now)

    def _offered(self, status: int, body: bytes, now: float) -> None:
        try:
            sdp, url = read_setup(status, body)
            offer = read_offer(sdp)
            if self._rids and not offer.simulcast:
                raise JoinError("the server offers no simulcast")
            self._start(offer, url, now)
        except LoadError as error:
            self.fail(str(error), now)

    def _start(self, offer: Offer, url: str, now: float) -> None:
        self._channel.set_fingerprint(offer.fingerprint)
        self.received.offer(offer.audio_slots, offer.video_slots)
        self.audio_slots, self.video_slots = len(offer.audio_slots), len(offer.video_slots)
        self._checks.set_remote(offer)
        self._path = UdpPath(offer.candidates, stamped=self.checked)
        self._fleet.watch(self._path.fd, self.read)
        self._check_at = now
        ours = Ours(
            ufrag=self._checks.ufrag,
            pwd=self._checks.pwd,
            fingerprint=self._fleet.context.identity.fingerprint,
            audio_ssrc=self.media.ssrc_audio,
            video_ssrc=None if self._rids else self.media.ssrc_video,
            rids=self._rids,
        )
        answer = self._writer.write("SETUP", resp=True, sdp=write_answer(offer, ours), props=PROPS)
        assert self._http is not None
        if url and not self._fleet.stays:
            elsewhere = read_url(url, insecure=self._http.url.insecure)
            if elsewhere != self._http.url:
                self._http.close()
                self._http = HttpConnection(elsewhere, self._fleet)
        self._http.post(f"sft/{self.call}", answer.encode(), self._answered, now)
        self._tick(now)

    def _answered(self, status: int, body: bytes, now: float) -> None:
        try:
            check_status("SETUP", status, body)
        except JoinError as error:
            self.fail(str(error), now)
        if self._http is not None:
            self._http.close()

    # What comes.

    def read(self, now: float) -> None:
        """Take what the socket has."""
        batch, path = self._fleet.batch, self._path
        while path is not None and not self.closed:
            try:
                count = batch.receive(path.fd, stamped=self.checked)
            except OSError as error:
                self.fail(_explain(error), now)
                return
            if count:
                for data in self.received.take(batch, count, now):
                    self._control(data, now)
            if count < COUNT:
                return

    def _control(self, data: bytes, now: float) -> None:
        """STUN, DTLS (with SCTP in it) or RTCP (RFC 7983)."""
        try:
            if data[:1] < b"\x04":
                self._stun(data, now)
            elif data[0] < 64:
                self._channel.receive_untrusted(data, now)
            else:
                self._rtcp(data)
                return
        except BadPacket:
            self._bad += 1
        self._flush(now)

    def _stun(self, data: bytes, now: float) -> None:
        assert self._path is not None
        answer = self._checks.receive_untrusted(data, self._path.remote)
        if answer is not None:
            self._send(answer)
        if self._checks.valid and not self._channel.started:
            self._check_at = now + CHECK_SECONDS
            self._channel.start(now)

    def _rtcp(self, data: bytes) -> None:
        srtp = self.received.srtp
        if srtp is not None:
            self.media.take_feedback_untrusted(srtp.unprotect_rtcp_untrusted(data))

    def _flush(self, now: float) -> None:
        """Take and send what the channel has; then see when to look again."""
        for event in self._channel.events():
            if isinstance(event, Message):
                self._take_message(event.text, now)
            elif isinstance(event, Connected):
                self.received.srtp = Inbound(inbound_session(event.srtp))
                self.media.open(event.srtp)
            elif isinstance(event, ChannelOpen):
                self._opened(now)
            else:
                self.fail(event.reason, now)
        for data in self._channel.datagrams():
            self._send(data)
        self._set_timer()

    def _opened(self, now: float) -> None:
        self.open_at = now
        self._ping_at = now + PING_SECONDS
        self._report_at = now + REPORT_SECONDS
        assert self._path is not None
        self._fleet.opened(self, self._path.fd)
        self._say(self._writer.write("PROPSYNC", props=PROPS), now)
        self.on_open(now)

    def _take_message(self, text: str, now: float) -> None:
        head = text[:60]
        if '"PROPSYNC"' in head:
            if found := _ORIGIN.search(text):
                self.known.add(found[1])
        elif '"CONFPART"' in head:
            self.roster, trusted = self._fleet.read_roster(text)
            own = [entry for entry in self.roster if entry["userid"] == self.user]
            self.media.label_video = int(own[0]["ssrc_video"]) if own else 0
            self._say(self._writer.trust(trusted), now)
            self.on_roster(now)
        elif '"HANGUP"' in head:
            if self._leaving or read_untrusted(text).get("resp"):
                self._end(now)
            else:
                self.fail("the server hung up", now)

    # What goes.

    def watch(self, users: Sequence[str], now: float, qualities: Sequence[int] = ()) -> None:
        """Ask for these participants' videos, in high quality unless told otherwise."""
        wanted = [
            (user, qualities[index] if index < len(qualities) else HIGH) for index, user in enumerate(users)
        ]
        self._say(self._writer.streams(wanted), now)

    @property
    def bad(self) -> int:
        """STUN, DTLS, SCTP and RTCP packets that make no sense; what is late may be among them."""
        return self._bad + self._channel.bad

    def _tick(self, now: float) -> None:
        """Do what is due."""
        if self.failed:
            self._end(now)
            return
        if now >= self._check_at:
            self._send_check(now)
        if now >= self._report_at:
            self._report_at = now + REPORT_SECONDS
            self.media.report(self.received.streams, now)
            self.on_second(now)
        if now >= self._ping_at:
            self._ping_at = now + PING_SECONDS
            self._say(self._writer.write("PING"), now)
        deadline = self._channel.deadline
        if deadline is not None and now >= deadline:
            self._channel.handle_timeout(now)
            self._flush(now)
        self._set_timer()

    def _send_check(self, now: float) -> None:
        if self._checks.valid:
            self._check_at = now + CHECK_SECONDS
        else:
            self._check_at = now + FIRST_CHECKS_SECONDS
            self._tries += 1
            if self._tries % TRIES == 0 and self._path is not None:
                self._path.next()
        self._send(self._checks.request())

    def _set_timer(self) -> None:
        if self.closed:
            return
        deadlines = [self._check_at, self._report_at, self._ping_at]
        if (deadline := self._channel.deadline) is not None:
            deadlines.append(deadline)
        self._timer.set(min(deadlines))

    def _say(self, text: str, now: float) -> None:
        self._channel.say(text, now)
        self._flush(now)

    def _send(self, data: bytes | memoryview) -> None:
        if self._path is None:
            return
        try:
            self._path.send(data)
        except BlockingIOError:
            self._fleet.unsent += 1
        except OSError as error:  # told to the owner by the next tick: this may be the middle of anything
            if not self._leaving:
                self.failed = self.failed or _explain(error)

    # Going.

    def leave(self, now: float) -> None:
        """Say HANGUP; ``on_end`` when the server has answered."""
        self._leaving = True
        self._say(self._writer.write("HANGUP"), now)

    def vanish(self, now: float) -> None:
        """Go without a word."""
        if not self.closed:
            self._end(now)

    def drops(self) -> int:
        """Datagrams the kernel dropped at our socket."""
        return 0 if self._path is None else self._path.drops()

    def fail(self, reason: str, now: float) -> None:
        """The first reason counts. A client that is leaving has just left."""
        if not self.closed:
            if not self._leaving:
                self.failed = self.failed or reason
            self._end(now)

    def _end(self, now: float) -> None:
        self.close()
        self.on_end(now)

    def close(self) -> None:
        """Vanish."""
        self.closed = True
        self._timer.cancel()
        if self._http is not None:
            self._http.close()
        if self._path is not None:
            self._fleet.closing(self, self._path.fd, self._path.drops())
            self._path.close()
            self._path = None


def _explain(error: OSError) -> str:
    refused = isinstance(error, ConnectionRefusedError)
    return "the server closed the port" if refused else f"UDP: {error.strerror}"
