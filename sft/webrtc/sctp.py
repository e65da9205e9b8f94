"""The data channel (RFC 8831, RFC 8832) over SCTP (RFC 9260, RFC 8261): one channel for text messages.

The protocol is aiortc's, whose SCTP is written as coroutines and timers of an asyncio loop. The
coroutines wait for nothing but the packet being taken, which here is a list, so each of them runs to
its end when it is first stepped. :class:`_Loop` stands in for the loop: its clock is our ``now``, its
timers are our ``deadline``. It is the running loop only while aiortc's code runs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, cast

from sft.errors import BadPacket, LocalError
from sft.model import Drop, RandomBytes
from sft.webrtc.events import ChannelOpen, Closed, Message

if TYPE_CHECKING:
    from aiortc import RTCDataChannel

LABEL: Final = "calling-3.0"
PORT: Final = 5000
MAX_SEND: Final = 262144
"""Bytes of one message that we send; browsers take that much (protocol section 4 has no limit)."""

_STRINGS: Final = (51, 54)  # PPIDs of RFC 8831 section 8: whole, and in the deprecated partial form
_BINARIES: Final = (53, 52)


class _Timer:
    """What ``call_later`` returns: enough of a TimerHandle for aiortc."""

    __slots__ = ("_loop", "callback", "when")

    def __init__(self, loop: _Loop, when: float, callback: Callable[[], object]) -> None:
        self._loop = loop
        self.when = when
        self.callback = callback

    def cancel(self) -> None:
        if self in self._loop.timers:
            self._loop.timers.remove(self)


class _Loop:
    """A loop that never loops: the four methods that aiortc calls."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[_Timer] = []
        self._ready: deque[Coroutine[Any, Any, object]] = deque()

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], object]) -> _Timer:
        timer = _Timer(self, self.now + delay, callback)
        self.timers.append(timer)
        return timer

    def create_task(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self._ready.append(coroutine)

    def run(self, now: float, function: Callable[..., object], *args: Any) -> None:
        """Call ``function`` as this loop; step what it returns and what it scheduled to the end."""
        self.now = now
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(cast(asyncio.AbstractEventLoop, self))
        try:
            result = function(*args)
            if isinstance(result, Coroutine):
                _finish(result)
            while self._ready:
                _finish(self._ready.popleft())
        finally:
            asyncio._set_running_loop(outer)
            while self._ready:  # after an error
                self._ready.popleft().close()


def _finish(coroutine: Coroutine[Any, Any, object]) -> None:
    try:
        coroutine.send(None)
    except StopIteration:
        return
    coroutine.close()
    raise LocalError("SCTP waits for something: aiortc's coroutines have changed")


class _Wire:
    """The DTLS transport that aiortc sees: a list of packets."""

    __slots__ = ("_role", "packets", "state")

    def __init__(self, *, is_server: bool) -> None:
        self.state = "connected"
        self._role = "server" if is_server else "client"
        self.packets: list[bytes] = []

    async def _send_data(self, data: bytes) -> None:
        self.packets.append(data)

    def _register_data_receiver(self, receiver: object) -> None:
        pass

    def _unregister_data_receiver(self, receiver: object) -> None:
        pass


class SctpAssociation:
    """One association and its channel. Mutate, then drain ``datagrams()`` and ``events()``.

    Both sides send INIT (RFC 8841 section 9.3). The channel is opened in-band by the side with
    ``opens_channel``; one that the peer opens under the same label serves as well.
    """

    def __init__(
        self, random: RandomBytes, now: float, *, is_server: bool, opens_channel: bool = True
    ) -> None:
        """``is_server``: our DTLS role, which decides the stream id (protocol section 4)."""
        from aiortc import RTCDataChannel, RTCDataChannelParameters
        from aiortc.rtcsctptransport import RTCSctpCapabilities

        from sft.webrtc.sctp_transport import SctpTransport

        self.closed: str | None = None
        self._loop = _Loop()
        self._wire = _Wire(is_server=is_server)
        self._channel: RTCDataChannel | None = None  # the open one
        self._events: list[ChannelOpen | Message | Closed] = []
        self._established = False

        def start() -> Coroutine[Any, Any, None]:
            self._transport = SctpTransport(self._wire, random, self._loop.time)
            if opens_channel:
                parameters = RTCDataChannelParameters(label=LABEL, id=1 if is_server else 2)
                RTCDataChannel(self._transport, parameters)
            return self._transport.start(RTCSctpCapabilities(maxMessageSize=MAX_SEND), PORT)

        self._loop.run(now, start)
        self._states = SctpTransport.State

    @property
    def deadline(self) -> float | None:
        return min((timer.when for timer in self._loop.timers), default=None)

    @property
    def is_open(self) -> bool:
        return self._channel is not None and self.closed is None

    @property
    def buffered(self) -> int:
        """Bytes sent by us that the peer has not acknowledged. The caller bounds it."""
        queued = 0 if self._channel is None else self._channel.bufferedAmount
        return queued + self._transport.unacknowledged

    def datagrams(self) -> list[bytes]:
        """SCTP packets to be sent; drains."""
        packets, self._wire.packets = self._wire.packets, []
        return packets

    def events(self) -> list[ChannelOpen | Message | Closed]:
        """What happened; drains."""
        events, self._events = self._events, []
        return events

    def receive_untrusted(self, packet: bytes, now: float) -> None:
        """Take one SCTP packet. What it carried before the fault in it still counts."""
        if self.closed is not None:
            return
        try:
            self._loop.run(now, self._transport.receive_untrusted, packet)
        except (BadPacket, LocalError):
            raise
        except Exception as error:  # aiortc lets out whatever its parsers and assertions run into
            raise BadPacket(Drop.SCTP_MALFORMED, repr(error)) from error
        finally:
            bad = self._deliver()
            self._observe()
        if bad is not None:
            raise bad

    def send(self, text: str, now: float) -> None:
        """Send one text message. ``LocalError``: no channel is open, or the text is too long."""
        if self._channel is None or self.closed is not None:
            raise LocalError("the data channel is not open")
        try:
            self._loop.run(now, self._channel.send, text)
        except ValueError as error:
            raise LocalError(str(error)) from error

    def handle_timeout(self, now: float) -> None:
        for timer in [timer for timer in self._loop.timers if timer.when <= now]:
            if timer in self._loop.timers:  # an earlier one may have cancelled it
                timer.cancel()
                self._step(now, timer.callback)
        self._observe()

    def close(self, now: float) -> None:
        """Abort the association (RFC 9260 section 9.1)."""
        if self.closed is None:
            self.closed = "closed by us"
            self._loop.run(now, self._transport.stop)

    def _step(self, now: float, callback: Callable[[], object]) -> None:
        try:
            self._loop.run(now, callback)
        except LocalError:
            raise
        except Exception as error:  # an assertion about a state that only an odd peer can bring about
            self._transport.fault = f"SCTP failed: {error!r}"

    def _observe(self) -> None:
        """Turn what aiortc's state has become into events."""
        if self.closed is not None:
            return
        state = self._transport._association_state
        self._established = self._established or state is self._states.ESTABLISHED
        if self._transport.fault is not None:
            self._end(self._transport.fault)
        elif self._established and state is not self._states.ESTABLISHED:
            self._end("SCTP association ended by the peer")
        elif state is self._states.CLOSED:
            self._end("SCTP association did not come up")
        elif self._channel is not None:
            if self._channel.readyState != "open":
                self._end("data channel closed by the peer")
        else:
            for channel in self._transport._data_channels.values():
                if channel.label == LABEL and channel.readyState == "open":
                    self._open(channel)
                    break

    def _open(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        self._events.append(ChannelOpen())

    def _end(self, reason: str) -> None:
        self.closed = reason
        self._events.append(Closed(reason))
        self._loop.run(self._loop.now, self._transport.stop)

    def _deliver(self) -> BadPacket | None:
        """Hand up what came; the last one that is no message of ours is returned."""
        inbox, self._transport.inbox = self._transport.inbox, []
        bad = None
        for stream_id, protocol, data in inbox:
            channel = self._transport._data_channels.get(stream_id)
            text = _text(protocol, data)
            if channel is None or channel.label != LABEL or text is None:
                bad = BadPacket(Drop.CHANNEL_UNEXPECTED, f"stream {stream_id}, protocol {protocol}")
                continue
            if self._channel is None and self.closed is None:
                channel._setReadyState("open")  # data acknowledges the open (protocol section 4)
                self._open(channel)
            self._events.append(Message(text))
        return bad


def _text(protocol: int, data: bytes) -> str | None:
    """The text of a message; JSON in a binary message counts as text (protocol section 4)."""
    is_binary_json = protocol in _BINARIES and data.lstrip()[:1] == b"{"
    if protocol in _STRINGS or is_binary_json:
        try:
            return data.decode()
        except UnicodeDecodeError:
            pass
    return None
