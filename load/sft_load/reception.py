"""What one client receives: media counted, or checked, and everything else handed on."""

from __future__ import annotations

from collections.abc import Iterable

from sft.errors import BadPacket
from sft.forwarding.libsrtp import Inbound
from sft.model import Drop
from sft.webrtc.rtp import PADDING_BIT
from sft_load.batch import Batch
from sft_load.histogram import Histogram
from sft_load.streams import CheckedStream, Stream


class Reception:
    """The receiving half of a client's media."""

    def __init__(self, latency: Histogram | None) -> None:
        """``latency``: check every packet and add to this; None: count by the header only."""
        self.streams: dict[int, Stream] = {}
        """By SSRC: those of ``audio``, then those of ``video``."""
        self.audio: list[Stream] = []
        self.video: list[Stream] = []
        self.packets = self.octets = 0
        self.strangers = 0
        """Packets with an SSRC that was never offered, or that do not decrypt."""
        self.repeated = 0
        """Packets that came twice and were not decrypted again."""
        self.first_at = 0.0
        self.srtp: Inbound | None = None
        self._latency = latency

    def offer(self, audio: Iterable[int], video: Iterable[int]) -> None:
        """These SSRCs may come."""
        for ssrcs, streams in ((audio, self.audio), (video, self.video)):
            for ssrc in ssrcs:
                self.streams[ssrc] = Stream() if self._latency is None else CheckedStream(self._latency)
                streams.append(self.streams[ssrc])

    def take(self, batch: Batch, count: int, now: float) -> list[bytes]:
        """Take a batch; returns the datagrams that are no RTP (RFC 7983, RFC 5761)."""
        streams, checks = self.streams, self._latency is not None
        media = octets = 0
        others: list[bytes] = []
        rows = zip(batch.headers(count), batch.lengths(count), strict=True)
        for index, ((first, second, sequence, ssrc), (length,)) in enumerate(rows):
            if not 128 <= first <= 191 or 192 <= second <= 223:
                others.append(batch.datagram(index, length))
                continue
            media += 1
            octets += length
            if checks:
                self._check(batch.datagram(index, length), batch.came(index))
                continue
            stream = streams.get(ssrc)
            if stream is None:
                self.strangers += 1
            elif sequence == stream.due:
                stream.due = sequence + 1 & 0xFFFF
            else:
                stream.count(sequence, batch.source(index) if _names_source(first) else 0)
        if media:
            self.packets += media
            self.octets += octets
            self.first_at = self.first_at or now
        return others

    def _check(self, data: bytes, came: float) -> None:
        try:
            if self.srtp is None:
                raise BadPacket(Drop.SRTP_TOO_EARLY)
            packet = self.srtp.unprotect_untrusted(data)
        except BadPacket as error:
            if error.reason is Drop.SRTP_REPLAY:
                self.repeated += 1
            else:
                self.strangers += 1
            return
        stream = self.streams.get(int.from_bytes(packet[8:12], "big"))
        if isinstance(stream, CheckedStream):
            source = int.from_bytes(packet[12:16], "big") if _names_source(packet[0]) else 0
            stream.count(int.from_bytes(packet[2:4], "big"), source)
            stream.check(packet, came)
        else:
            self.strangers += 1


def _names_source(first: int) -> bool:
    """Whether a packet of RTP with this first byte shows somebody: it has a CSRC, and is no padding, which a
    server may send in any slot under any name."""
    return first & 0x0F != 0 and not first & PADDING_BIT
