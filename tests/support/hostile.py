"""What a hostile participant has: every key of its own connection, and no manners.

:class:`Scene` is a call of three: Mallory attacks, Ann is sent Mallory's media, Bob talks with Ann. The
functions below make packets that get past each layer of authentication, so that mutants reach what
lies behind it.
"""

from __future__ import annotations

import hmac
import json
import random
from binascii import crc32
from collections import Counter
from struct import pack
from typing import Any

from google_crc32c import value as crc32c

from sft.calls.participant import Participant
from sft.webrtc import stun
from sft.webrtc.ice import MAX_PATHS
from sft.webrtc.sctp_transport import MAX_HELD, MAX_STREAMS
from support import rtcp, rtp
from support.rtp import RtpPacket
from support.wire import message
from support.world import CALL, World

BOUNDS = {
    "sources": 4,
    "retired sources": 8,
    "RTCP senders": 16,
    "slots watching": 4 * 3,
    "numbers missing": 3 * 128,
    "numbers dropped": 4 * 2048,
    "packets repeated": 9 * 256,
    "transport-wide arrivals": 1000,
    "keyframe wishes": 12,
    "paths": MAX_PATHS,
    "DTLS records": 16,
    "SCTP streams": MAX_STREAMS,
    "SCTP chunks held": MAX_HELD + 1,
    "SCTP numbers ahead": MAX_HELD,
    "SCTP timers": 4,
    "data channels": MAX_STREAMS,
    "approvals of nobody": 0,
    "undrained": 0,
}
"""How much the server may hold for one participant, whatever that sends."""


def holdings(participant: Participant, world: World) -> dict[str, int]:
    """How much it does hold; keys as in ``BOUNDS``."""
    connection = participant.connection
    assert connection is not None
    endpoint, peer = connection.endpoint, connection.peer
    call = world.call()
    sources = list(endpoint.sources.values())
    ice: Any = peer._ice
    dtls, sctp = peer._dtls, peer._sctp
    assert sctp is not None
    transport = sctp._transport
    return {
        "sources": len(sources) + len(endpoint.layers) - len({id(one) for one in endpoint.layers.values()}),
        "retired sources": len(endpoint._retired),
        "RTCP senders": len(endpoint._rtcp_senders),
        "slots watching": len(endpoint.viewers),
        "numbers missing": sum(len(source.gaps._missing) for source in sources),
        "numbers dropped": sum(len(source.numbering._dropped) for source in sources),
        "packets repeated": sum(len(slot.repeated) for slot in endpoint.slots.values()),
        "transport-wide arrivals": sum(len(kept) for _, kept in endpoint.transport._kept)
        + len(endpoint.transport.pending),
        "keyframe wishes": len(call.table.gate._wishes),
        "paths": len(ice._known),
        "DTLS records": len(dtls._inbox) + len(dtls._outbox),
        "SCTP streams": len(transport._inbound_streams),
        "SCTP chunks held": sum(len(stream.reassembly) for stream in transport._inbound_streams.values()),
        "SCTP numbers ahead": len(transport._sack_misordered),
        "SCTP timers": len(sctp._loop.timers),
        "data channels": len(transport._data_channels),
        "approvals of nobody": len(call.approvals._lists[participant.id].keys() - call.participants.keys()),
        "undrained": len(peer._events) + len(peer._outbox) + len(sctp._events) + len(transport.inbox),
    }


class Scene:
    """Ann, Mallory and Bob in a call, everybody's media flowing."""

    def __init__(self, seed: int = 1, **settings: Any) -> None:
        self.world = World(seed, **settings)
        self.random = random.Random(seed)
        self.ann, self.mallory, self.bob = self.world.join("ann", "mallory", "bob")
        self.ends: Counter[str] = Counter()
        """Why Mallory's connections ended."""
        self._videos = 0
        self._left = 0
        self.subscribe()

    def subscribe(self) -> None:
        """Everybody wants everybody's video."""
        self.ann.want("mallory", "bob")
        self.bob.want("ann", "mallory")
        self.mallory.want("ann", "bob")

    @property
    def participant(self) -> Participant:
        """Mallory, as the server knows it."""
        return self.world.call().participants[self.mallory.id]

    @property
    def is_in(self) -> bool:
        return self.mallory.id in self.world.call().participants

    @property
    def stands(self) -> bool:
        """Whether Mallory's newest connection is up, for the server and for Mallory."""
        engine = self.mallory.end.engine
        return self.is_in and engine.closed is None and engine.dtls.closed is None

    def attack(self, data: bytes) -> None:
        """One datagram from Mallory."""
        self.mallory.end.send(data)

    def rejoin(self) -> None:
        """A new connection for Mallory, whatever became of the last."""
        left = self.world.observer.endings
        self.ends.update(reason for user, reason in left[self._left :] if user == "mallory")
        self._left = len(left)
        self.mallory.join(update=self.is_in)
        self.world.run(0.5)
        self.mallory.want("ann", "bob")
        self.world.settle()

    def check(self, *, approve: bool = False) -> None:
        """Mallory's connection stands, its media reaches Ann, Bob and Ann notice nothing, nothing grows.

        ``approve``: what was sent may have withdrawn Mallory's approvals, which is its right.
        """
        world, ann, bob, mallory = self.world, self.ann, self.bob, self.mallory
        world.run(0.5)  # longer than a speaker without a slot waits until it tries again
        mallory.end.engine.check()  # the path is where the newest nomination came from
        if approve:
            mallory.approve("ann", "bob")
        world.settle()
        assert self.stands, world.observer.left()
        ann.end.rtp.clear()
        bob.end.rtp.clear()
        for sender, receiver in ((bob, ann), (ann, bob)):
            assert sender.talk(2) == receiver.heard(sender)
            assert sender.show(2) == receiver.seen(sender)
        sent, heard = mallory.talk(10), ann.heard(mallory)
        assert len(heard) >= 8, "the level of mutants may have made it silent for a packet or two"
        assert heard == sent[-len(heard) :]
        self._videos += 1
        assert mallory.show(2, ssrc=900_000 + self._videos) == ann.seen(mallory)
        mallory.say("PING")
        held = holdings(self.participant, world)
        too_much = {what: size for what, size in held.items() if size > BOUNDS[what]}
        assert not too_much, too_much
        assert not {"ann", "bob"} & world.observer.left().keys()

    def end(self) -> None:
        """Everybody leaves; nothing may be left of the call."""
        self.world.end()
        self.world.assert_empty()


def seal_stun(body: bytes, password: str) -> bytes:
    """A STUN message around a header and attributes: lengths, MESSAGE-INTEGRITY and FINGERPRINT are right."""
    body += bytes(-len(body) % 4)
    body = body[:2] + pack("!H", len(body) - 20 + 24) + body[4:]
    digest = hmac.digest(password.encode(), body, "sha1")
    body += pack("!HH", stun.MESSAGE_INTEGRITY, 20) + digest
    body = body[:2] + pack("!H", len(body) - 20 + 8) + body[4:]
    return body + pack("!HHL", stun.FINGERPRINT, 4, crc32(body) ^ 0x5354554E)


def stun_seeds(username: str) -> list[bytes]:
    """Header and attributes of what may come, before they are sealed."""
    name = stun.USERNAME, username.encode()
    priority, nominate = (stun.PRIORITY, bytes.fromhex("6e7e1eff")), (stun.USE_CANDIDATE, b"")
    bodies = [
        [name, (stun.ICE_CONTROLLING, bytes(8)), priority, nominate],
        [name, (0xC057, bytes(4)), (stun.ICE_CONTROLLING, bytes(8)), priority],
        [name, (stun.ICE_CONTROLLED, bytes(8)), priority],
        [name, (0x7777, b"unknown")],
        [(stun.XOR_MAPPED_ADDRESS, bytes(8))],
    ]
    whole = [stun.write(stun.Kind.REQUEST, stun.BINDING, bytes(12), body) for body in bodies]
    whole.append(stun.write(stun.Kind.SUCCESS, stun.BINDING, bytes(12), bodies[4]))
    whole.append(stun.write(stun.Kind.INDICATION, stun.BINDING, bytes(12), bodies[3]))
    return [data[:-8] for data in whole]


def seal_sctp(packet: bytes, tag: int, *, one_chunk: bool) -> bytes:
    """The packet with the right verification tag and checksum; ``one_chunk``: and the length of its chunk."""
    packet = packet.ljust(16, b"\0")
    if one_chunk:
        packet = packet[:14] + pack("!H", len(packet) - 12) + packet[16:]
    header = packet[:4] + pack("!L", tag)
    return header + pack("<L", crc32c(header + bytes(4) + packet[12:])) + packet[12:]


def sctp_seeds(scene: Scene) -> list[bytes]:
    """Packets that fit into Mallory's association now, and some that end it."""
    sctp = scene.mallory.end.engine.sctp
    assert sctp is not None
    transport = sctp._transport
    tsn, seen = transport._local_tsn, transport._last_received_tsn or 0
    reset = transport._reconfig_request_seq
    text = json.dumps(message("PING", CALL, "mallory")).encode()
    chunks = [
        *(_data(tsn + ahead, 1, ahead, 51, text) for ahead in range(4)),
        _data(tsn, 1, 0, 51, text[:40], flags=2),
        _data(tsn + 1, 1, 0, 51, text[40:], flags=1),
        _data(tsn + 9, 1, 7, 53, text),
        _data(tsn, 5, 0, 50, b"\3" + bytes(7) + pack("!HH", 11, 0) + b"calling-3.0"),
        _data(tsn, 5, 0, 50, b"\2"),
        _data(tsn, 1, 0, 99, b"?"),
        pack("!BBHLLHH", 3, 0, 16, seen, 65536, 0, 0),
        pack("!BBHLLHHHH", 3, 0, 20, seen, 65536, 1, 0, 2, 65535),
        pack("!BBHLLHHL", 3, 0, 20, seen, 0, 0, 1, tsn),
        pack("!BBHHH4s", 4, 0, 12, 1, 8, b"beat"),
        pack("!BBHHH", 9, 0, 8, 1, 4),
        pack("!BBHLLHHL", 1, 0, 20, 7, 65536, 16, 16, tsn),
        pack("!BBHLLHHLHH4s", 2, 0, 28, 7, 65536, 16, 16, tsn, 7, 8, b"cook"),
        pack("!BBH4s", 10, 0, 8, b"cook"),
        pack("!BBH", 11, 0, 4),
        pack("!BBHHHLLLHxx", 130, 0, 24, 13, 18, reset, 0, tsn - 1 & 0xFFFFFFFF, 9),
        pack("!BBHHHLHH", 130, 0, 16, 17, 12, reset, 100, 0),
        pack("!BBHLHH", 192, 0, 12, tsn + 100, 1, 7),
        pack("!BBHL", 7, 0, 8, seen),
        pack("!BBH", 6, 0, 4),
    ]
    return [pack("!HHLL", 5000, 5000, 0, 0) + chunk for chunk in chunks]


def _data(tsn: int, stream: int, sequence: int, protocol: int, data: bytes, flags: int = 3) -> bytes:
    size = 16 + len(data)
    return pack("!BBHLHHL", 0, flags, size, tsn & 0xFFFFFFFF, stream, sequence, protocol) + data


def rtp_seeds(audio_ssrc: int) -> list[bytes]:
    """Audio, both layers of video, probes, CSRCs, the two-byte form of extensions."""
    audio = rtp.audio(audio_ssrc, 3)
    high, low = (rtp.video(audio_ssrc + 100 * n, 2, rid=rid) for n, rid in ((1, "h"), (2, "l")))
    many = RtpPacket(audio_ssrc, 1004, 51840, b"payload", csrc=(1, 2, 3), padding=4)
    two_byte = bytes.fromhex("906f03ed0000cb20") + audio_ssrc.to_bytes(4, "big")
    two_byte += bytes.fromhex("1000000201018503024711") + b"\0" + b"payload"
    packets = [*audio, *high, *low, many, rtp.padding_only(high[0], 2007)]
    return [packet.pack()[:200] for packet in packets] + [two_byte]


def rtcp_seeds(scene: Scene) -> list[bytes]:
    """Every kind that clients send, about Mallory's own streams and its slots."""
    end = scene.mallory.end
    ours, slots = end.audio_ssrc, end.slots
    report = rtcp.sender_report(ours, ntp=0xE8FE6B00_00000000, timestamp=48000)
    blocks = b"".join(pack("!LLLLLL", slot, 0x01000002, 70000, 10, 0, 0) for slot in slots[1:4])
    packets = [
        (rtcp.RR, 3, pack("!L", ours) + blocks),
        (rtcp.SDES, 1, pack("!LBB6s", ours, 1, 5, b"cname") + bytes(4)),
        (rtcp.BYE, 1, pack("!L", ours)),
        (rtcp.PAYLOAD_FEEDBACK, rtcp.FIR, pack("!LLLBxxx", ours, 0, slots[6], 1)),
        (rtcp.PAYLOAD_FEEDBACK, 15, pack("!LL4sBBHL", ours, 0, b"REMB", 1, 0x12, 0x3456, slots[6])),
        (rtcp.TRANSPORT_FEEDBACK, 15, pack("!LLHHLHxx", ours, 0, 7, 2, 0, 0x2002)),
    ]
    singles = [rtcp.RtcpPacket(*packet).pack() for packet in packets]
    singles += [report, rtcp.pli(slots[6]), rtcp.nack(slots[6], range(1000, 1010)), rtcp.nack(slots[1], [5])]
    return singles + [report + single for single in singles]


def message_seeds(lines: list[bytes]) -> list[bytes]:
    """Messages of Mallory, and others that clients and servers send."""
    part = {"userid": "ann", "clientid": "_", "authorized": True, "ssrc_audio": "1000", "ssrc_video": "7"}
    fields: dict[str, dict[str, Any]] = {
        "PING": {},
        "PROPSYNC": {"props": {"muted": "true", "videosend": "false"}},
        "CONFPART": {"resp": True, "participants": [part]},
        "CONFSTREAMS": {"mode": "list", "streams": [{"userid": "ann", "quality": 1}]},
        "KEYENVELOPE": {"envelope": "aGVsbG8=", "recipients": ["ann"]},
        "HANGUP": {"resp": True},
    }
    own = [json.dumps(message(type, CALL, "mallory", **more)).encode() for type, more in fields.items()]
    return own + [line for line in lines if len(line) < 2000]
