"""Who is heard: five slots, whoever talks."""

from __future__ import annotations

import pytest

from sft.forwarding.selection import HOLD, MARGIN, RETRY, STALE
from sft.model import Drop


def talk(call, speakers, packets: int = 50, level: int = 30) -> None:
    """Everybody speaks, 40 ms a packet, in turn."""
    for _ in range(packets):
        for speaker in speakers:
            speaker.audio(level)
        call.advance(0.04)


def room(call, count: int):
    clients = [call.join() for _ in range(count)]
    call.connect_all()
    return clients


@pytest.mark.parametrize("count", [2, 3, 5])
def test_up_to_five_speakers_all_reach_every_receiver(call, count: int) -> None:
    clients = room(call, 8)
    talk(call, clients[:count])
    for receiver in clients:
        expected = {speaker.audio_ssrc for speaker in clients[:count] if speaker is not receiver}
        assert receiver.heard() == expected


def test_each_speaker_stays_in_one_slot_without_gaps(call) -> None:
    clients = room(call, 6)
    talk(call, clients[:5])
    out = clients[5].drain()
    by_slot: dict[int, list] = {}
    for packet in out:
        by_slot.setdefault(packet.ssrc, []).append(packet)
    assert len(by_slot) == 5
    for packets in by_slot.values():
        assert len({p.csrcs[0] for p in packets}) == 1
        assert [p.sequence - packets[0].sequence for p in packets] == list(range(50))


def test_with_six_speakers_everybody_hears_five_and_slots_do_not_flap(call) -> None:
    clients = room(call, 7)
    talk(call, clients[:6], packets=200)
    listener = clients[6]
    out = listener.drain()
    assert len({p.csrcs[0] for p in out}) == 5
    assert len(out) == 1000
    owners = {(p.ssrc, p.csrcs[0]) for p in out}
    assert len(owners) == 5


def test_the_first_participant_hears_five_others_because_its_slot_zero_is_free(call) -> None:
    clients = room(call, 6)
    talk(call, clients[1:])
    assert clients[0].heard() == {c.audio_ssrc for c in clients[1:]}


def test_the_first_participant_is_forwarded_even_when_silent_and_only_in_slot_zero(call) -> None:
    first, speaker, receiver = room(call, 3)
    for _ in range(10):
        first.audio(127)
        speaker.audio(30)
    out = receiver.drain()
    own = [p for p in out if p.csrcs == [first.audio_ssrc]]
    assert len(own) == 10
    assert {p.ssrc for p in own} == {receiver.endpoint.audio_slots[0].ssrc}
    assert first.audio_ssrc not in first.heard()


def test_a_silent_participant_is_dropped_and_frees_its_slot(call) -> None:
    _, speaker, receiver = room(call, 3)
    talk(call, [speaker], packets=3)
    for _ in range(10):
        speaker.audio(127)
    assert receiver.endpoint.audio_slots[1].source is None
    before = receiver.drain()
    speaker.audio(127)
    assert receiver.drain() == []
    assert call.dropped(Drop.RTP_SILENT) > 0
    for _ in range(3):
        speaker.audio(0)
    after = receiver.drain()
    assert [p.sequence for p in after] == [before[-1].sequence + 1 + i for i in range(len(after))]
    assert after


def test_a_participant_without_levels_counts_as_loud(call) -> None:
    _, speaker, receiver = room(call, 3)
    speaker.audio(None)
    assert receiver.heard() == {speaker.audio_ssrc}


def test_a_freed_slot_is_taken_at_the_next_packet(call) -> None:
    clients = room(call, 7)
    *speakers, listener = clients
    talk(call, speakers, packets=10)
    missing = next(c for c in speakers if c.audio_ssrc not in {p.csrcs[0] for p in listener.drain()})
    for _ in range(12):
        speakers[1].audio(127)
    missing.audio(30)
    assert missing.audio_ssrc in listener.heard()


def test_a_holder_that_stopped_sending_loses_its_slot(call) -> None:
    clients = room(call, 7)
    *speakers, listener = clients
    talk(call, speakers, packets=10)
    missing = next(c for c in speakers if c.audio_ssrc not in {p.csrcs[0] for p in listener.drain()})
    still = [speaker for speaker in speakers if speaker is not speakers[2]]
    talk(call, still, packets=int((STALE + RETRY) / 0.04) + 2)
    assert missing.audio_ssrc in listener.heard()


def test_a_much_louder_newcomer_takes_the_quietest_slot_after_the_hold_time(call) -> None:
    clients = room(call, 7)
    *speakers, listener = clients
    quiet = speakers[3]
    for _ in range(int(HOLD / 0.04) + 30):
        for speaker in speakers[:5]:
            speaker.audio(60 if speaker is quiet else 20)
        call.advance(0.04)
    newcomer = speakers[5]
    talk(call, [*speakers[:3], speakers[4]], packets=1, level=20)
    for _ in range(10):
        newcomer.audio(60 - 4 * MARGIN)
        quiet.audio(60)
        call.advance(0.04)
    sources = {slot.source for slot in listener.endpoint.audio_slots}
    assert newcomer.audio_source() in sources
    assert quiet.audio_source() not in sources
    assert listener.endpoint in quiet.audio_source().lacking


def test_a_pause_between_words_loses_no_slot(call) -> None:
    clients = room(call, 7)
    *speakers, listener = clients
    talk(call, speakers, packets=60)
    holders = {slot.source for slot in listener.endpoint.audio_slots}
    loser = next(c for c in speakers if c.audio_source() not in holders)
    pausing = next(c for c in speakers[1:] if c is not loser)
    for _ in range(6):  # 240 ms
        pausing.audio(85)
        for speaker in speakers:
            if speaker is not pausing:
                speaker.audio(30)
        call.advance(0.04)
    assert {slot.source for slot in listener.endpoint.audio_slots} == holders


def test_when_the_first_changes_slot_zero_goes_to_the_new_first(call) -> None:
    clients = room(call, 4)
    talk(call, clients, packets=5)
    call.table.set_first(clients[1].endpoint)
    talk(call, clients, packets=10)
    for receiver in clients:
        expected = None if receiver is clients[1] else clients[1].audio_source()
        if expected is not None:
            assert receiver.endpoint.audio_slots[0].source is expected
        receiver.drain()
    talk(call, clients, packets=1)
    for receiver in clients:
        assert receiver.heard() == {c.audio_ssrc for c in clients if c is not receiver}


def test_permission_taken_back_stops_the_sound_at_once(call) -> None:
    _, speaker, receiver, other = room(call, 4)
    talk(call, [speaker], packets=2)
    receiver.drain(), other.drain()
    call.table.set_allowed(speaker.endpoint, frozenset([other.endpoint]), frozenset(), call.now)
    talk(call, [speaker], packets=2)
    assert receiver.drain() == []
    assert len(other.drain()) == 2


def test_a_sender_with_all_its_slots_makes_no_route_per_packet(call, monkeypatch) -> None:
    clients = room(call, 5)
    talk(call, clients, packets=3)
    made = []
    monkeypatch.setattr(type(call.engine), "make_route", lambda *args: made.append(args))
    talk(call, clients, packets=20)
    assert made == []


def test_a_sender_without_slots_looks_for_one_only_now_and_then(call, monkeypatch) -> None:
    clients = room(call, 7)
    talk(call, clients[:6], packets=10)
    tries = []
    choose = type(call.table.selection)._choose
    monkeypatch.setattr(
        type(call.table.selection),
        "_choose",
        lambda self, receiver, source, now: tries.append(now) or choose(self, receiver, source, now),
    )
    talk(call, clients[:6], packets=50)
    assert len(set(tries)) <= 2.0 / RETRY + 1
