"""Each reason for a drop has an input that leads to it, and does no harm to anybody else."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from sft.model import Drop
from sft.webrtc import stun
from support import rtcp, rtp
from support.rtp import RtpPacket
from support.world import World
from support.world_client import WorldClient

ReachedBy = Callable[[WorldClient], None]


def packet(ann: WorldClient, **changes: object) -> bytes:
    """The next audio packet of Ann, altered."""
    ssrc = ann.end.audio_ssrc
    ann.sequences[ssrc] = ann.sequences.get(ssrc, 1000) + 1
    return attrs.evolve(rtp.audio(ssrc, 1, sequence=ann.sequences[ssrc])[0], **changes).pack()


def join_until(ann: WorldClient, step: str) -> WorldClient:
    """Another client of Ann's world that has come so far."""
    eve = ann.world.client("eve")
    eve.connect()
    if step in ("answer", "check"):
        eve.answer()
    if step == "check":
        eve.newest.engine.check()
        eve.newest.carry_up()
    return eve


def empty(ann: WorldClient) -> None:
    ann.end.send(b"")


def unknown_protocol(ann: WorldClient) -> None:
    ann.end.send(b"GET / HTTP/1.1\r\n\r\n")


def too_large(ann: WorldClient) -> None:
    ann.end.send(b"\x80\x6f" + bytes(1600))


def stun_malformed(ann: WorldClient) -> None:
    ann.end.send(b"\x00\x01\x00\x08")


def stun_integrity(ann: WorldClient) -> None:
    ann.end.engine.remote_pwd = "guessed"
    ann.end.engine.check()


def stun_unexpected(ann: WorldClient) -> None:
    ann.end.send(stun.write(stun.Kind.SUCCESS, stun.BINDING, bytes(12), []))


def dtls_malformed(ann: WorldClient) -> None:
    ann.end.send(b"\x16\xfe\xfd")


def dtls_no_path(ann: WorldClient) -> None:
    join_until(ann, "answer").newest.engine.start_dtls(ann.world.now)


def dtls_fingerprint(ann: WorldClient) -> None:
    eve = join_until(ann, "offer")
    eve.answer(fingerprint="AB:" * 31 + "AB")
    eve.start()


def dtls_failed(ann: WorldClient) -> None:
    join_until(ann, "check").newest.send(b"\x16\xfe\xfd" + bytes(8) + b"\x00\x04junk")


def srtp_too_early(ann: WorldClient) -> None:
    join_until(ann, "check").newest.send(b"\x80\x6f" + bytes(40))


def srtp_auth(ann: WorldClient) -> None:
    protected = bytearray(ann.end.sessions[0].protect(packet(ann)))
    protected[-1] ^= 1
    ann.end.send(bytes(protected))


def srtp_replay(ann: WorldClient) -> None:
    protected = ann.end.sessions[0].protect(packet(ann))
    ann.end.send(protected)
    ann.end.send(protected)


def rtp_malformed(ann: WorldClient) -> None:
    data = packet(ann, extensions={})
    ann.end.send_rtp(bytes([data[0] | 0x10]) + data[1:12] + bytes.fromhex("bede00011f00ffff") + data[12:])


def rtp_unknown_source(ann: WorldClient) -> None:
    ann.end.send_rtp(packet(ann, ssrc=0xBAD))


def rtp_padding(ann: WorldClient) -> None:
    ann.end.send_rtp(packet(ann, payload=b"", padding=100))


def rtp_late(ann: WorldClient) -> None:
    """What was sent before the first packet that came, so nobody can say what its number would have been."""
    ann.end.send_rtp(packet(ann, sequence=3000))
    ann.end.send_rtp(packet(ann, sequence=2990))


def rtp_unasked(ann: WorldClient) -> None:
    ann.show(rid="h")
    ann.end.send_rtp(packet(ann, ssrc=0xF1D, payload_type=101, extensions={5: b"h"}, payload=bytes(10)))


def rtp_silent(ann: WorldClient) -> None:
    """Only Bob, because the roster's first participant is always heard."""
    bob = ann.world.clients[1]
    bob.talk(20, level=127)


def rtcp_malformed(ann: WorldClient) -> None:
    ann.end.send_rtcp(bytes.fromhex("80c8000100000001"))


def sctp_malformed(ann: WorldClient) -> None:
    ann.end.engine.send_raw(b"not an SCTP packet")


def channel_unexpected(ann: WorldClient) -> None:
    ann.say_bytes(b"\xff\xfe binary")


def message_malformed(ann: WorldClient) -> None:
    ann.say_text("{}")


def message_unexpected(ann: WorldClient) -> None:
    ann.say("CANCEL")


def message_too_often(ann: WorldClient) -> None:
    for _ in range(401):
        ann.say("PING")


def sdp_malformed(ann: WorldClient) -> None:
    join_until(ann, "offer").answer_with("v=0\r\n")


def send_blocked(ann: WorldClient) -> None:
    ann.end.transport.fault = BlockingIOError()
    ann.world.clients[1].talk()
    ann.say("PING")
    ann.end.transport.fault = None


def send_failed(ann: WorldClient) -> None:
    ann.end.transport.fault = OSError("network is unreachable")
    ann.world.clients[1].talk()
    ann.say("PING")
    ann.end.transport.fault = None


REACHED_BY: dict[Drop, ReachedBy] = {
    Drop.EMPTY: empty,
    Drop.UNKNOWN_PROTOCOL: unknown_protocol,
    Drop.TOO_LARGE: too_large,
    Drop.STUN_MALFORMED: stun_malformed,
    Drop.STUN_INTEGRITY: stun_integrity,
    Drop.STUN_UNEXPECTED: stun_unexpected,
    Drop.DTLS_MALFORMED: dtls_malformed,
    Drop.DTLS_NO_PATH: dtls_no_path,
    Drop.DTLS_FINGERPRINT: dtls_fingerprint,
    Drop.DTLS_FAILED: dtls_failed,
    Drop.SRTP_TOO_EARLY: srtp_too_early,
    Drop.SRTP_AUTH: srtp_auth,
    Drop.SRTP_REPLAY: srtp_replay,
    Drop.RTP_MALFORMED: rtp_malformed,
    Drop.RTP_UNKNOWN_SOURCE: rtp_unknown_source,
    Drop.RTP_PADDING: rtp_padding,
    Drop.RTP_LATE: rtp_late,
    Drop.RTP_UNASKED: rtp_unasked,
    Drop.RTP_SILENT: rtp_silent,
    Drop.RTCP_MALFORMED: rtcp_malformed,
    Drop.SCTP_MALFORMED: sctp_malformed,
    Drop.CHANNEL_UNEXPECTED: channel_unexpected,
    Drop.MESSAGE_MALFORMED: message_malformed,
    Drop.MESSAGE_UNEXPECTED: message_unexpected,
    Drop.MESSAGE_TOO_OFTEN: message_too_often,
    Drop.SDP_MALFORMED: sdp_malformed,
    Drop.SEND_BLOCKED: send_blocked,
    Drop.SEND_FAILED: send_failed,
}


OF_TRANSPORTS = {
    Drop.NO_PEER,
    Drop.STRANGER,
    Drop.CONNECTION_REFUSED,
    Drop.CONNECTION_STALLED,
    Drop.SLOW_READER,
}
"""Counted before a datagram reaches a call, or behind it; plugins/*/tests have them."""


@pytest.mark.parametrize(
    "reason", [reason for reason in Drop if reason not in OF_TRANSPORTS], ids=lambda reason: reason.value
)
def test_every_reason_is_reached_and_only_that_one(world: World, reason: Drop) -> None:
    ann, bob, cid = world.join("ann", "bob", "cid")
    REACHED_BY[reason](ann)
    world.settle()
    assert world.dropped().keys() == {reason}
    assert world.observer.left() == {}
    for sender, receiver in ((bob, cid), (cid, bob)):
        assert sender.talk(4)[-1] == receiver.heard(sender)[-1]
    world.run(10.0)
    assert world.observer.left() == {}


@pytest.mark.parametrize("count", [1, 5, 100])
def test_each_drop_is_counted_once(world: World, count: int) -> None:
    ann, _ = world.join("ann", "bob")
    for _ in range(count):
        ann.end.send_rtp(RtpPacket(0xBAD, 1, 1, b"payload").pack())
        ann.end.send(b"")
    assert world.dropped() == {Drop.RTP_UNKNOWN_SOURCE: count, Drop.EMPTY: count}


def test_media_between_the_keys_and_the_open_channel_is_early(world: World) -> None:
    world.join("ann")
    bob = world.client("bob")
    bob.connect()
    bob.answer()
    bob.newest.engine.check()
    world.settle()
    bob.newest.lose_up = lambda data: data[0] == 23  # SCTP
    bob.newest.engine.start_dtls(world.now)
    world.settle()
    bob.newest.send_rtp(rtp.audio(bob.newest.audio_ssrc, 1)[0].pack())
    bob.newest.send_rtcp(rtcp.sender_report(bob.newest.audio_ssrc))
    assert world.dropped() == {Drop.SRTP_TOO_EARLY: 2}
