"""A hundred thousand hostile packets, by class, while the same peer's media keeps flowing.

After each burst :meth:`Scene.check` looks whether the hostile peer is still connected, its own media
still reaches another participant with every byte of the payload, a third participant noticed nothing,
and the server holds no more than it may. An exception anywhere in the server fails the test: in a
:class:`support.world.World` nothing catches one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from pylibsrtp import Error

from fuzz.runner import mutations
from sft.errors import BadPacket
from sft.signalling.messages import Hangup, decode_untrusted
from support import hostile, rtp
from support.hostile import Scene
from support.world_client import nothing

MESSAGES = Path(__file__).parents[1] / "signalling" / "data" / "messages.jsonl"
STRANGER = ("203.0.113.99", 9)

BURST = 500


def garbage(scene: Scene, count: int) -> int:
    """Random bytes of every length and first byte; a quarter from an address nobody knows."""
    chance = scene.random
    for number in range(count):
        size = chance.choice((0, 1, 2, 12, 13, 20, 60, 400, 1200, 1600, 2048))
        data = chance.randbytes(size)
        if number % 4:
            scene.attack(data)
        else:
            scene.mallory.end.transport.deliver(data, STRANGER)
        if number % BURST == BURST - 1:
            scene.check()
    return count


def checks(scene: Scene, count: int) -> int:
    """Checks with altered attributes and correct integrity; a tenth from other addresses.

    The path may move there, since whoever knows the password may nominate. It moves back with the next
    check from home.
    """
    engine = scene.mallory.end.engine
    seeds = hostile.stun_seeds(f"{engine.remote_ufrag}:{engine.ufrag}")
    for number, mutant in enumerate(mutations(seeds, count, seed=2)):
        header = scene.random.choice(seeds)[:20] if number % 2 else mutant[:20].ljust(20, b"\0")
        data = hostile.seal_stun(header + mutant[20:], engine.remote_pwd)
        if number % 10:
            scene.attack(data)
        else:
            scene.mallory.end.transport.deliver(data, ("203.0.113.99", 1024 + number % 60_000))
        if number % BURST == BURST - 1:
            scene.check()
    return count


def records(scene: Scene, count: int) -> int:
    """Altered records of a handshake and of a connection that is up, into a connection that is up."""
    seeds = record(scene)
    for number, mutant in enumerate(mutations(seeds, count, seed=3)):
        scene.attack(mutant)
        if number % BURST == BURST - 1:
            scene.check()
    return count


def record(scene: Scene) -> list[bytes]:
    """The DTLS datagrams of a client's handshake and of a few messages; the server has seen them all."""
    kept: list[bytes] = []

    def keep(data: bytes) -> bool:
        if data[0] > 3:
            kept.append(data)
        return False

    mallory = scene.mallory
    mallory.connect(update=True)
    mallory.newest.lose_up = keep
    mallory.answer()
    mallory.start()
    for _ in range(5):
        mallory.say("PING")
    mallory.end.lose_up = nothing
    scene.world.run(0.5)
    scene.subscribe()
    return kept


def handshakes(scene: Scene, count: int) -> int:
    """Altered records between those of handshakes under way, from an address that was validated.

    Such a join may take long or fail: whoever can send from the peer's own address can break a handshake
    that is not done. It is begun anew a few times, then the join ends. Nobody else notices.
    """
    world, sent, finished = scene.world, 0, 0
    mutants = mutations(record(scene), count, seed=4)
    while sent < count:
        eves = [world.client(f"eve{sent + number}", beats=False) for number in range(50)]
        for eve in eves:
            eve.connect()
            eve.answer()
            eve.newest.engine.check()
            eve.newest.carry_up()
            for mutant in islice(mutants, 5):
                eve.newest.send(mutant)
            eve.newest.engine.start_dtls(world.now)
            eve.newest.carry_up()
            for mutant in islice(mutants, 5):
                eve.newest.send(mutant)
            world.settle()
            if eve.newest.engine.channel_open:
                eve.leave()
        sent += 10 * len(eves)
        world.run(30.0)  # retransmissions, then nothing more of those who are in by now
        finished += sum(eve.newest.engine.channel_open for eve in eves)
        scene.check()
    scene.ends.update({"finished": finished, "failed": count // 10 - finished})
    assert scene.ends["finished"] > scene.ends["failed"] > 0
    return sent


def chunks(scene: Scene, count: int) -> int:
    """Altered packets inside DTLS, half with the right tag and checksum, half of those well-formed too.

    Among those are some with which a peer ends its association in good form, and some that make it
    unusable for Mallory itself, whose own numbers are then taken. So each burst has a new connection,
    and so has whoever ended one. Reasons other than the peer's own doing fail the test.
    """
    sent = 0
    while sent < count:
        scene.rejoin()
        burst = min(BURST // 2, count - sent)
        for number, mutant in enumerate(mutations(hostile.sctp_seeds(scene), burst, seed=sent)):
            if not scene.stands:
                scene.rejoin()
            engine = scene.mallory.end.engine
            assert engine.sctp is not None
            tag = engine.sctp._transport._remote_verification_tag
            if number % 2:
                mutant = hostile.seal_sctp(mutant, tag, one_chunk=number % 4 == 1)
            engine.send_raw(mutant)
            scene.world.settle()
            sent += 1
        if scene.stands:
            scene.check()
    scene.rejoin()
    scene.check()
    assert scene.ends.keys() <= {
        "connection_ended SCTP association ended by the peer",
        "connection_ended data channel closed by the peer",
    }
    return sent


def messages(scene: Scene, count: int) -> int:
    """Altered messages on the data channel, but for those with which a client says goodbye."""
    sent = 0
    mallory = scene.mallory
    seeds = hostile.message_seeds(MESSAGES.read_bytes().splitlines())
    for mutant in mutations(seeds, 2 * count, seed=6):
        text = mutant.decode(errors="ignore")
        if says_goodbye(mutant) or says_goodbye(text.encode()):
            continue
        if sent % 10:
            mallory.say_text(text)
        else:
            mallory.say_bytes(mutant)
        sent += 1
        if sent % BURST == 0:
            scene.check(approve=True)
        if sent == count:
            break
    return sent


def says_goodbye(data: bytes) -> bool:
    try:
        read = decode_untrusted(data)
    except BadPacket:
        return False
    return isinstance(read, Hangup) and not read.resp


def media(scene: Scene, count: int, mutants: Iterator[bytes], protect: Callable[[bytes], bytes]) -> int:
    """Altered packets that are authentic, as far as libsrtp will protect them at all."""
    sent = 0
    for mutant in mutants:
        try:
            scene.attack(protect(mutant[:1400]))
        except Error:
            continue
        sent += 1
        if sent % 10 == 0:
            scene.world.run(0.01)
        if sent % BURST == 0:
            scene.check()
        if sent == count:
            break
    return sent


def stays(mutant: bytes, *, rtcp: bool) -> bool:
    """Whether datagrams are still sorted so. Otherwise Mallory's own SRTP would count a packet that the
    server's never saw; what is sorted differently is garbage, above."""
    return len(mutant) > 1 and 128 <= mutant[0] <= 191 and (192 <= mutant[1] <= 223) is rtcp


def rtp_packets(scene: Scene, count: int) -> int:
    """Each SSRC's numbers go on, some missing, some late, so that honest packets may follow: which numbers
    a sender has used up is its own affair. What becomes of wild ones is tested below."""
    ssrc, sequences = scene.mallory.end.audio_ssrc, scene.mallory.sequences

    def numbered() -> Iterator[bytes]:
        for mutant in mutations(hostile.rtp_seeds(ssrc), 4 * count, seed=7):
            if stays(mutant, rtcp=False) and len(mutant) >= 12:
                name = int.from_bytes(mutant[8:12], "big")
                sequences[name] = sequences.get(name, 1000) + scene.random.choice((1, 1, 1, 1, 1, 2, 30))
                sequence = sequences[name] - scene.random.choice((1, 1, 1, 1, 1, 5, 50))
                yield mutant[:2] + (sequence % 2**16).to_bytes(2, "big") + mutant[4:]

    return media(scene, count, numbered(), scene.mallory.end.sessions[0].protect)


def rtcp_packets(scene: Scene, count: int) -> int:
    mutants = mutations(hostile.rtcp_seeds(scene), 4 * count, seed=7)
    protect = scene.mallory.end.sessions[0].protect_rtcp
    return media(scene, count, (mutant for mutant in mutants if stays(mutant, rtcp=True)), protect)


def protected_packets(scene: Scene, count: int) -> int:
    """Protected packets, altered then: none but the exact copy of one that was lost may be taken."""
    sessions = scene.mallory.end.sessions[0]
    seeds = [sessions.protect(seed) for seed in hostile.rtp_seeds(scene.mallory.end.audio_ssrc)]
    seeds += [sessions.protect_rtcp(seed) for seed in hostile.rtcp_seeds(scene)]
    scene.mallory.sequences[scene.mallory.end.audio_ssrc] = 1010
    for number, mutant in enumerate(mutations(seeds, count, seed=8)):
        scene.attack(mutant)
        if number % BURST == BURST - 1:
            scene.check()
    return count


SHARES: dict[Callable[[Scene, int], int], int] = {
    garbage: 15_000,
    checks: 15_000,
    records: 10_000,
    handshakes: 5_000,
    chunks: 15_000,
    messages: 10_000,
    rtp_packets: 15_000,
    rtcp_packets: 10_000,
    protected_packets: 5_000,
}
"""Packets per class; 100,000 in all."""


@pytest.fixture(scope="module")
def table(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """What became of each class; printed in the end."""
    rows: list[str] = []
    yield rows
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print("", *rows, sep="\n")


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("attack", SHARES, ids=lambda attack: attack.__name__)
def test_hostile_packets_change_nothing_for_anybody(
    attack: Callable[[Scene, int], int], times: int, table: list[str]
) -> None:
    began, count = time.process_time(), times * SHARES[attack]
    scene = Scene(messages_per_second=1e9) if attack is messages else Scene()
    scene.check()
    assert attack(scene, count) == count
    drops = Counter({reason.value: number for reason, number in scene.world.dropped().items()})
    drops += Counter({f"[{reason}]": number for reason, number in scene.ends.items()})
    what = ", ".join(f"{reason} {number}" for reason, number in drops.most_common())
    table.append(f"{attack.__name__}: {count} in {time.process_time() - began:.1f} s: {what}")
    scene.end()


def test_the_shares_are_a_hundred_thousand() -> None:
    assert sum(SHARES.values()) == 100_000


def test_no_two_packets_go_out_under_one_number() -> None:
    """SRTP makes its nonce of the number. Wild jumps, with packets between that are authentic and
    malformed, must not bring an old number back; Ann's replay check would raise."""
    scene = Scene()
    chance, end = scene.random, scene.mallory.end
    malformed = bytes.fromhex("906f000000000000") + end.audio_ssrc.to_bytes(4, "big")
    malformed += bytes.fromhex("bede00011f00ffff")  # an extension element that ends past its block
    sequence = 2000
    for number in range(20_000):
        sequence += chance.choice((1, 1, 1, 1, 1, -1, -1, -2, -20, -300, 70, 900, 5000, 30_000, 32_768))
        if chance.random() < 0.3:
            packet = malformed[:2] + (sequence % 2**16).to_bytes(2, "big") + malformed[4:]
        else:
            level = chance.choice((20, 20, 20, 127))
            packet = rtp.audio(end.audio_ssrc, 1, sequence=sequence, level=level, seed=number)[0].pack()
        try:
            end.send_rtp(packet)
        except Error:
            continue  # Mallory's own libsrtp holds the number for too old
        if number % 7 == 0:
            scene.world.run(chance.choice((0.0, 0.02, 2.0)))
    assert len(scene.ann.end.rtp) > 5_000
    scene.end()
