"""aiortc's SCTP with our clock, our randomness, and limits on what a peer may make it do.

Importing this module loads aiortc and with it PyAV; :mod:`sft.webrtc.sctp` does so at first use.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final, Protocol, cast

from aiortc.rtcdtlstransport import RTCDtlsTransport
from aiortc.rtcsctptransport import (
    CHUNK_TYPES,
    WEBRTC_DCEP,
    Chunk,
    DataChunk,
    InitChunk,
    RTCSctpTransport,
    SackChunk,
    tsn_minus_one,
)

from sft.errors import BadPacket
from sft.model import Drop, RandomBytes
from sft.webrtc import sctp_packet

MAX_MESSAGE: Final = 65536
"""Bytes of one received message: what a peer must assume if the SDP does not say (RFC 8841 section 6)."""

RECEIVE_BUFFER: Final = 128 * 1024
"""Bytes advertised. In-order data may exceed it by one message, so that a full buffer can empty."""

MAX_STREAMS: Final = 32
MAX_AHEAD: Final = 512  # TSNs that may be received while one before them is missing
MAX_HELD: Final = 1024  # chunks waiting for the rest of their message
_TSN_MASK: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000


class Wire(Protocol):
    """What aiortc asks of a DTLS transport."""

    state: str
    _role: str

    async def _send_data(self, data: bytes) -> None: ...

    def _register_data_receiver(self, receiver: object) -> None: ...

    def _unregister_data_receiver(self, receiver: object) -> None: ...


class SctpTransport(RTCSctpTransport):
    """One association. Its coroutines suspend only where ``wire._send_data`` does, which is never."""

    def __init__(self, wire: Wire, random: RandomBytes, clock: Callable[[], float]) -> None:
        super().__init__(cast(RTCDtlsTransport, wire))
        self.inbox: list[tuple[int, int, bytes]] = []  # (stream, payload protocol, data)
        self.fault: str | None = None  # why this association has to be aborted
        self._clock = clock
        self._round_trip = 0.0
        self._local_partial_reliability = False
        self._advertised_rwnd = RECEIVE_BUFFER
        self._inbound_streams_max = MAX_STREAMS
        self._rto = 1.0  # RTO.Initial of RFC 9260 section 16; aiortc has the 3 s of RFC 4960
        self._hmac_key = random(16)
        self._local_verification_tag = int.from_bytes(random(4), "big") or 1
        self._local_tsn = self._reconfig_request_seq = int.from_bytes(random(4), "big")
        self._last_sacked_tsn = self._advanced_peer_ack_tsn = tsn_minus_one(self._local_tsn)

    @property
    def unacknowledged(self) -> int:
        """Bytes handed to the association that the peer has not acknowledged."""
        chunks = itertools.chain(self._sent_queue, self._outbound_queue)
        return sum(chunk._book_size for chunk in chunks if not chunk._acked)

    async def receive_untrusted(self, data: bytes) -> None:
        """Take one packet, chunk by chunk, and acknowledge what it carried."""
        packet = sctp_packet.parse_untrusted(data)
        is_init = any(kind == sctp_packet.INIT for kind, _, _ in packet.chunks)
        if packet.verification_tag != (0 if is_init else self._local_verification_tag):
            raise BadPacket(Drop.SCTP_MALFORMED, "wrong verification tag")
        try:
            for kind, flags, value in packet.chunks:
                if self._expects(kind):
                    await self._receive_chunk(CHUNK_TYPES[kind](flags=flags, body=value))
        finally:
            if self._sack_needed:
                await self._send_sack()

    def _expects(self, kind: int) -> bool:
        """Whether a chunk type makes sense now. A late copy of an INIT must not reset what the
        association has become, and without the peer's first TSN there is nothing to count from."""
        if kind == sctp_packet.INIT:
            waiting = self.State.COOKIE_WAIT, self.State.COOKIE_ECHOED
            return self._association_state in waiting and not self._inbound_streams
        if kind in (sctp_packet.DATA, sctp_packet.SACK, sctp_packet.COOKIE_ECHO, sctp_packet.SHUTDOWN):
            return self._last_received_tsn is not None
        return True

    async def _receive_data_chunk(self, chunk: DataChunk) -> None:
        ahead = (chunk.tsn - (self._last_received_tsn or 0)) & _TSN_MASK
        if 1 < ahead < _HALF and (ahead > MAX_AHEAD or len(chunk.user_data) > self._advertised_rwnd):
            self._sack_needed = True  # no room: not received, the peer will send it again
            return
        if chunk.stream_id >= MAX_STREAMS:
            self._sack_needed = True
            self._mark_received(chunk.tsn)
            raise BadPacket(Drop.CHANNEL_UNEXPECTED, f"stream {chunk.stream_id}")
        await super()._receive_data_chunk(chunk)
        held = sum(len(stream.reassembly) for stream in self._inbound_streams.values())
        if self._advertised_rwnd < -MAX_MESSAGE or held > MAX_HELD:
            self.fault = "more data than one message may have"

    async def _receive_sack_chunk(self, chunk: SackChunk) -> None:
        unacknowledged = (self._local_tsn - 1 - self._last_sacked_tsn) & _TSN_MASK
        progress = (chunk.cumulative_tsn - self._last_sacked_tsn) & _TSN_MASK
        if progress >= _HALF:
            return  # overtaken by a newer one
        if progress > unacknowledged:
            raise BadPacket(Drop.SCTP_MALFORMED, "SACK of what was never sent")
        # aiortc walks over every TSN of every gap block: only ascending ones within what was sent.
        gaps: list[tuple[int, int]] = []
        end = 0
        for gap in chunk.gaps:
            if end < gap[0] <= gap[1] <= unacknowledged - progress:
                gaps.append(gap)
                end = gap[1]
        chunk.gaps = gaps
        if self._sent_queue:
            self._round_trip = self._clock() - getattr(self._sent_queue[0], "sent_at", self._clock())
        await super()._receive_sack_chunk(chunk)

    def _update_rto(self, R: float) -> None:
        # aiortc measures with the wall clock; the chunk it measured is the one looked at above.
        super()._update_rto(self._round_trip)

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if len(data) > MAX_MESSAGE:
            self.fault = "a message is too large"
        elif pp_id == WEBRTC_DCEP:
            await super()._receive(stream_id, pp_id, data)
        else:
            self.inbox.append((stream_id, pp_id, data))

    async def _send_chunk(self, chunk: Chunk) -> None:
        tag = self._remote_verification_tag
        if isinstance(chunk, DataChunk):
            chunk.sent_at = self._clock()  # type: ignore[attr-defined]  # aiortc adds such itself
        elif isinstance(chunk, InitChunk):
            # RFC 9260 section 8.5.1; also when it is repeated after the peer's own INIT told its tag.
            self._remote_verification_tag = 0
        await super()._send_chunk(chunk)
        self._remote_verification_tag = tag

    def _get_timestamp(self) -> int:
        return int(self._clock())
