"""RTCP: any bytes are read or refused, and any compound an authenticated client sends is taken or counted."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pylibsrtp import Error

from sft.errors import BadPacket
from sft.webrtc import rtcp
from sft.webrtc.twcc import TransportRecorder

_spec = importlib.util.spec_from_file_location("fuzz_rtp_call", Path(__file__).with_name("fuzz_rtp.py"))
if _spec is None or _spec.loader is None:
    raise ImportError("fuzz_rtp.py is missing")
_rtp = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_rtp)


def fuzz(data: bytes) -> None:
    """Raises only if the code under test misbehaves."""
    try:
        rtcp.parse_compound_untrusted(data)
    except BadPacket:
        pass
    _record(data)
    target = _rtp.call()
    target.deliver(data[:2000])
    try:
        protected = target.session.protect_rtcp(data[:1200])
    except Error:
        return
    target.wire.sent.clear()
    target.deliver(protected)
    if len(target.wire.sent) > 100:
        raise AssertionError("one datagram made us send more than a hundred")
    if len(target.sender.sources) > 4:
        raise AssertionError("more sources than an endpoint may have")


def _record(data: bytes) -> None:
    """The bytes as transport-wide sequence numbers and pauses: feedback stays within its bounds."""
    recorder = TransportRecorder()
    now = 1000.0
    for at in range(0, len(data) - 3, 4):
        now += data[at + 2] / 10
        recorder.pending.append((data[at] << 8 | data[at + 1], now))
        if data[at + 3] & 1:
            for packet in recorder.feedback(1, 2):
                if len(packet) > 1200:
                    raise AssertionError("a feedback packet larger than a datagram may be")


def seeds() -> list[bytes]:
    """What Chrome sends, and one of each that we write, on the SSRCs of the call under test."""
    target = _rtp.Call()
    slots = [*target.sender.video_slots[:1], *target.sender.audio_slots[:1]]
    block = rtcp.ReportBlock(slots[0].ssrc, 3, -5, 70_000, 9, 1, 2)
    report = rtcp.write_receiver_report(1, [block])
    remb = bytes.fromhex("8fce00050000000100000000") + b"REMB" + bytes.fromhex("0114000100000009")
    transport = bytes.fromhex("8fcd00050000000100000002000100010000000020010000")
    return [
        rtcp.write_sender_report(_rtp.HIGH, rtcp.ntp_from_unix(1.8e9), 5, 6, 7)
        + rtcp.write_description([rtcp.cname_chunk(_rtp.HIGH, "c")]),
        report + rtcp.write_nack(1, slots[0].ssrc, [1, 2, 9, 40]),
        report + rtcp.write_pli(1, slots[0].ssrc),
        report + rtcp.write_fir(1, slots[0].ssrc, 1),
        report + remb + transport,
        bytes.fromhex("81cb0001") + _rtp.HIGH.to_bytes(4, "big"),
        bytes.fromhex("82cb0003") + _rtp.AUDIO.to_bytes(4, "big") + _rtp.LOW.to_bytes(4, "big") + b"\x03end",
        bytes.fromhex("80cf00020000000100000000"),
    ]
