from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from struct import pack
from types import ModuleType
from typing import Any

import pytest
from aiortc.rtcsctptransport import ShutdownChunk, serialize_packet
from google_crc32c import value as crc32c
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sft.errors import BadPacket, LocalError
from sft.model import Drop
from sft.webrtc.events import ChannelOpen, Closed, Message
from sft.webrtc.sctp import SctpAssociation
from sft.webrtc.sctp_transport import MAX_AHEAD, MAX_HELD, MAX_MESSAGE


class Pair:
    """Two associations and a network between them that may lose packets; time is a number."""

    def __init__(self, support: ModuleType, *, client_opens: bool = False, server_opens: bool = True) -> None:
        self.now = 10.0
        self.server = SctpAssociation(support.seeded(1), self.now, is_server=True, opens_channel=server_opens)
        self.client = SctpAssociation(
            support.seeded(2), self.now, is_server=False, opens_channel=client_opens
        )
        self.lose: Callable[[int], bool] = lambda number: False
        self.carried = 0
        self.seen: dict[str, list[Any]] = {"server": [], "client": []}
        self.faults: list[BadPacket] = []

    def pump(self) -> None:
        while True:
            up, down = self.client.datagrams(), self.server.datagrams()
            self.seen["server"] += self.server.events()
            self.seen["client"] += self.client.events()
            if not up and not down:
                return
            for receiver, packets in ((self.server, up), (self.client, down)):
                for packet in packets:
                    self.carried += 1
                    if not self.lose(self.carried - 1):
                        self.give(receiver, packet)

    def give(self, receiver: SctpAssociation, packet: bytes) -> None:
        try:
            receiver.receive_untrusted(packet, self.now)
        except BadPacket as fault:
            if receiver is self.server:  # the client wonders about SACKs of what we inject
                self.faults.append(fault)

    def run_until(self, condition: Callable[[], bool], *, steps: int = 300) -> None:
        self.pump()
        for _ in range(steps):
            if condition():
                return
            deadlines = [d for d in (self.server.deadline, self.client.deadline) if d is not None]
            self.now = max(self.now, min(deadlines))
            self.server.handle_timeout(self.now)
            self.client.handle_timeout(self.now)
            self.pump()
        raise AssertionError("it never happened")

    def texts(self, side: str) -> list[str]:
        return [event.text for event in self.seen[side] if isinstance(event, Message)]

    def inject(self, chunk: bytes) -> None:
        """A packet from the client's side with this chunk in it."""
        tag = 0 if chunk[0] == 1 else self.server._transport._local_verification_tag
        header = pack("!HHL", 5000, 5000, tag)
        self.give(self.server, header + pack("<L", crc32c(header + bytes(4) + chunk)) + chunk)
        self.pump()

    def data(self, ahead: int, body: bytes, *, flags: int = 3, stream: int = 1, protocol: int = 51) -> bytes:
        """A DATA chunk ``ahead`` of the client's next TSN."""
        transport = self.client._transport
        tsn = (transport._local_tsn + ahead) & 0xFFFFFFFF
        sequence = transport._outbound_stream_seq.get(stream, 0)
        chunk = pack("!BBHLHHL", 0, flags, 16 + len(body), tsn, stream, sequence, protocol) + body
        return chunk + bytes(-len(chunk) % 4)

    def still_works(self) -> bool:
        self.client.send("still here?", self.now)
        self.run_until(lambda: "still here?" in self.texts("server"))
        return True


def test_a_repeated_init_goes_out_under_tag_0(support: ModuleType) -> None:
    """Although the peer's INIT, whose answer was lost, has told its tag."""
    pair = Pair(support)
    [init] = pair.client.datagrams()
    pair.give(pair.server, init)
    pair.server.datagrams()
    assert pair.server.deadline is not None
    pair.server.handle_timeout(pair.server.deadline)
    repeated = [packet for packet in pair.server.datagrams() if packet[12] == 1]
    assert [packet[4:8] for packet in repeated] == [bytes(4)]


@pytest.fixture
def fresh(support: ModuleType) -> Pair:
    return Pair(support)


@pytest.fixture
def pair(fresh: Pair) -> Pair:
    fresh.pump()
    assert fresh.seen == {"server": [ChannelOpen()], "client": [ChannelOpen()]}
    return fresh


def test_the_dtls_server_opens_stream_1_in_band(pair: Pair) -> None:
    assert list(pair.client._transport._data_channels) == [1]
    channel = pair.client._transport._data_channels[1]
    assert (channel.label, channel.protocol, channel.ordered) == ("calling-3.0", "", True)
    assert (channel.maxRetransmits, channel.maxPacketLifeTime) == (None, None)


def test_the_dtls_client_opens_an_even_stream(support: ModuleType) -> None:
    pair = Pair(support, client_opens=True, server_opens=False)
    pair.pump()
    assert list(pair.server._transport._data_channels) == [2]
    assert pair.server.is_open
    assert pair.client.is_open


def test_a_channel_opened_by_both_sides_carries_messages_both_ways(support: ModuleType) -> None:
    pair = Pair(support, client_opens=True)
    pair.pump()
    pair.server.send("down", pair.now)
    pair.client.send("up", pair.now)
    pair.pump()
    assert pair.seen == {
        "server": [ChannelOpen(), Message("up")],
        "client": [ChannelOpen(), Message("down")],
    }


def test_both_sides_send_init_at_once(fresh: Pair) -> None:
    assert [packet[12] for packet in fresh.server.datagrams()] == [1]
    assert [packet[12] for packet in fresh.client.datagrams()] == [1]


@pytest.mark.parametrize("lost", range(12))
def test_the_association_comes_up_whichever_packet_is_lost(fresh: Pair, lost: int) -> None:
    fresh.lose = lambda number: number == lost
    fresh.run_until(lambda: fresh.server.is_open and fresh.client.is_open)
    assert fresh.still_works()


def test_an_association_nobody_answers_gives_up(fresh: Pair) -> None:
    fresh.lose = lambda number: True
    fresh.run_until(lambda: fresh.server.closed is not None)
    assert fresh.seen["server"] == [Closed("SCTP association did not come up")]
    assert fresh.server.deadline is None


@pytest.mark.parametrize("every", [3, 5, 7])
def test_messages_of_30_kilobytes_arrive_whole_and_in_order_with_loss(pair: Pair, every: int) -> None:
    texts = [chr(ord("a") + index) * 30000 for index in range(3)]
    pair.lose = lambda number: number % every == 0
    for text in texts:
        pair.client.send(text, pair.now)
        pair.server.send(text, pair.now)
    pair.run_until(lambda: pair.texts("server") == texts and pair.texts("client") == texts)
    pair.run_until(lambda: pair.server.buffered == 0)
    assert pair.faults == []


def test_buffered_counts_what_is_not_acknowledged(pair: Pair) -> None:
    pair.lose = lambda number: True
    for _ in range(4):
        pair.server.send("x" * 10000, pair.now)
    assert pair.server.buffered == 40000
    pair.pump()
    assert pair.server.deadline is not None
    pair.server.handle_timeout(pair.server.deadline)
    assert pair.server.buffered == 40000, "what waits to be sent again still counts"
    pair.lose = lambda number: False
    pair.run_until(lambda: pair.server.buffered == 0)


def test_thousands_of_messages_leave_nothing_behind(pair: Pair) -> None:
    for number in range(3000):
        pair.client.send(str(number), pair.now)
        pair.server.send(str(number), pair.now)
        pair.now += 0.02
        pair.pump()
    assert pair.texts("server") == pair.texts("client") == [str(number) for number in range(3000)]
    assert (pair.server.deadline, pair.client.deadline) == (None, None)
    assert pair.server._loop.timers == []
    assert pair.server.buffered == 0


def test_the_round_trip_is_measured_with_our_clock(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    class WildClock:
        @staticmethod
        def time() -> float:
            return 1e12

    monkeypatch.setattr("aiortc.rtcsctptransport.time", WildClock)
    pair.server.send("x", pair.now)
    packets = pair.server.datagrams()
    pair.now += 0.25
    for packet in packets:
        pair.client.receive_untrusted(packet, pair.now)
    pair.pump()
    assert 0.0 < pair.server._transport._srtt <= 0.25


def test_the_same_randomness_gives_the_same_packets(support: ModuleType) -> None:
    assert Pair(support).server.datagrams() == Pair(support).server.datagrams()


@pytest.mark.parametrize("protocol", [51, 54])
def test_text_that_is_not_utf8_is_dropped(pair: Pair, protocol: int) -> None:
    pair.inject(pair.data(0, b"\xff\xfe", protocol=protocol))
    assert [fault.reason for fault in pair.faults] == [Drop.CHANNEL_UNEXPECTED]
    assert pair.server.is_open


@pytest.mark.parametrize("protocol", [52, 53])
def test_json_in_a_binary_message_is_text_and_other_bytes_are_not(pair: Pair, protocol: int) -> None:
    text = json.dumps({"type": "PING"})
    pair.inject(pair.data(0, text.encode(), protocol=protocol))
    assert pair.texts("server") == [text]
    pair.client._transport._local_tsn += 1
    pair.client._transport._outbound_stream_seq[1] = 1
    pair.inject(pair.data(0, b"\x00\x01", protocol=protocol))
    assert [fault.reason for fault in pair.faults] == [Drop.CHANNEL_UNEXPECTED]


def test_data_on_a_stream_without_our_channel_is_dropped_but_acknowledged(pair: Pair) -> None:
    pair.inject(pair.data(0, b"{}", stream=9))
    pair.inject(pair.data(1, b"{}", stream=999))
    assert [fault.reason for fault in pair.faults] == [Drop.CHANNEL_UNEXPECTED] * 2
    pair.client._transport._local_tsn += 2
    assert pair.still_works()


def test_a_channel_with_another_label_is_not_listened_to(pair: Pair) -> None:
    pair.inject(pair.data(0, pack("!BBHLHH", 3, 0, 0, 0, 5, 0) + b"other", stream=4, protocol=50))
    pair.client._transport._local_tsn += 1
    pair.inject(pair.data(0, b"{}", stream=4))
    assert pair.texts("server") == []
    assert [fault.reason for fault in pair.faults] == [Drop.CHANNEL_UNEXPECTED]


def test_data_before_the_acknowledgement_opens_the_channel(fresh: Pair) -> None:
    fresh.run_until(lambda: fresh.client.is_open)
    fresh.server._channel = None  # as if the DCEP ACK were still on its way
    fresh.server._transport._data_channels[1]._setReadyState("connecting")
    fresh.client.send("{}", fresh.now)
    fresh.pump()
    assert fresh.seen["server"][-2:] == [ChannelOpen(), Message("{}")]


def test_a_message_over_64_kilobytes_ends_the_association(pair: Pair) -> None:
    pair.client.send("x" * (MAX_MESSAGE + 1), pair.now)
    pair.run_until(lambda: pair.server.closed is not None)
    assert pair.texts("server") == []
    assert pair.client.closed == "SCTP association ended by the peer"


def test_a_message_of_64_kilobytes_arrives(pair: Pair) -> None:
    pair.client.send("x" * MAX_MESSAGE, pair.now)
    pair.run_until(lambda: pair.texts("server") == ["x" * MAX_MESSAGE])


@pytest.mark.parametrize("size", [1, 1000])
def test_a_message_that_never_ends_is_ended(pair: Pair, size: int) -> None:
    for number in range(5000):
        pair.inject(pair.data(number, b"x" * size, flags=2 if number == 0 else 0))
        if pair.server.closed is not None:
            break
    assert pair.server.closed == "more data than one message may have"
    assert number * size <= 3 * MAX_MESSAGE + size
    assert number <= MAX_HELD + 1


def test_data_that_is_far_ahead_is_not_kept(pair: Pair) -> None:
    for number in range(1, 3 * MAX_AHEAD):
        pair.inject(pair.data(number, b"x" * 1000))
    transport = pair.server._transport
    assert len(transport._sack_misordered) <= MAX_AHEAD
    assert (
        sum(len(c.user_data) for s in transport._inbound_streams.values() for c in s.reassembly) <= 128 * 1024
    )
    assert pair.server.closed is None


def test_a_sack_with_a_huge_gap_block_costs_nothing(pair: Pair) -> None:
    acknowledged = pair.server._transport._last_sacked_tsn
    gaps = pack("!HH", 1, 65535) * 250
    for _ in range(100):
        pair.inject(pack("!BBHLLHH", 3, 0, 16 + len(gaps), acknowledged, 65536, 250, 0) + gaps)
    assert pair.still_works()


def test_a_sack_of_what_was_never_sent_is_refused(pair: Pair) -> None:
    ahead = (pair.server._transport._last_sacked_tsn + 1000) & 0xFFFFFFFF
    pair.inject(pack("!BBHLLHH", 3, 0, 16, ahead, 65536, 0, 0))
    assert [fault.reason for fault in pair.faults] == [Drop.SCTP_MALFORMED]
    pair.server.send("down", pair.now)
    pair.pump()
    assert pair.texts("client") == ["down"]


@pytest.mark.parametrize(
    "chunk",
    [
        pack("!BBHHH", 4, 0, 8, 1, 0),
        pack("!BBHHH", 130, 0, 8, 13, 0),
        pack("!BBHLLHHLHH", 1, 0, 24, 1, 65536, 1, 1, 1, 7, 0),
    ],
    ids=["HEARTBEAT", "RECONFIG", "INIT"],
)
def test_a_parameter_of_length_zero_is_refused(pair: Pair, chunk: bytes) -> None:
    pair.inject(chunk)
    assert [fault.reason for fault in pair.faults] == [Drop.SCTP_MALFORMED]
    assert pair.still_works()


@pytest.mark.parametrize(("kind", "closes"), [(6, True), (9, False)], ids=["ABORT", "ERROR"])
def test_causes_of_length_zero_are_not_read(pair: Pair, kind: int, closes: bool) -> None:
    pair.inject(pack("!BBHHH", kind, 0, 8, 1, 0))
    assert (pair.server.closed is not None) == closes


def test_a_late_copy_of_init_changes_nothing(fresh: Pair) -> None:
    copies = fresh.client.datagrams()
    for packet in copies:
        fresh.give(fresh.server, packet)
    fresh.pump()
    for packet in copies:
        fresh.give(fresh.server, packet)
    assert fresh.still_works()


def test_a_forward_tsn_is_ignored_because_the_channel_is_reliable(pair: Pair) -> None:
    pair.inject(pack("!BBHLHH", 192, 0, 12, (pair.client._transport._local_tsn + 100) & 0xFFFFFFFF, 1, 7))
    assert pair.faults == []
    assert pair.still_works()


def test_a_heartbeat_is_answered_with_its_own_words(pair: Pair) -> None:
    answers: list[bytes] = []
    give = pair.give
    pair.give = lambda receiver, packet: (answers.append(packet), give(receiver, packet))[1]  # type: ignore[func-returns-value,method-assign]
    pair.inject(pack("!BBHHH4s", 4, 0, 12, 1, 8, b"beat"))
    assert answers[-1][12:] == pack("!BBHHH4s", 5, 0, 12, 1, 8, b"beat")


def test_a_wrong_tag_or_checksum_is_refused(pair: Pair) -> None:
    pair.client.send("x", pair.now)
    (packet,) = pair.client.datagrams()
    for position in (4, 8, 30):
        mutated = bytearray(packet)
        mutated[position] ^= 1
        pair.give(pair.server, bytes(mutated))
    pair.give(pair.server, packet[:10])
    pair.give(pair.server, packet + bytes(3000))
    assert [fault.reason for fault in pair.faults] == [Drop.SCTP_MALFORMED] * 4 + [Drop.TOO_LARGE]
    pair.give(pair.server, packet)
    pair.pump()
    assert pair.texts("server") == ["x"]


@pytest.mark.parametrize("closing", ["server", "client"])
def test_an_abort_closes_the_other_side(pair: Pair, closing: str) -> None:
    here, there = (pair.server, pair.client) if closing == "server" else (pair.client, pair.server)
    here.close(pair.now)
    here.close(pair.now)
    pair.pump()
    assert there.closed == "SCTP association ended by the peer"
    assert pair.seen["client" if closing == "server" else "server"][-1] == Closed(there.closed)
    assert pair.seen[closing][-1] == ChannelOpen(), "who closes hears nothing of it"
    with pytest.raises(LocalError):
        there.send("too late", pair.now)
    assert (here.deadline, there.deadline) == (None, None)


def test_a_shutdown_closes(pair: Pair) -> None:
    transport = pair.server._transport
    chunk = ShutdownChunk()
    chunk.cumulative_tsn = transport._last_sacked_tsn
    pair.give(pair.server, serialize_packet(5000, 5000, transport._local_verification_tag, chunk))
    assert pair.server.events() == [Closed("SCTP association ended by the peer")]


def test_a_stream_reset_closes(pair: Pair) -> None:
    channel = pair.client._transport._data_channels[1]
    pair.client._loop.run(pair.now, channel.close)
    pair.pump()
    assert pair.seen["server"][-1] == Closed("data channel closed by the peer")


def test_a_text_we_may_not_send_is_our_own_fault(pair: Pair) -> None:
    with pytest.raises(LocalError):
        pair.server.send("x" * 300000, pair.now)
    assert pair.still_works()


def test_a_loop_that_runs_already_is_left_in_place(support: ModuleType) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pair = Pair(support)
        pair.pump()
        assert pair.still_works()
        assert asyncio.get_running_loop() is loop

    asyncio.run(main())
    assert asyncio._get_running_loop() is None


def test_a_coroutine_that_waits_is_noticed(pair: Pair) -> None:
    with pytest.raises(LocalError, match="waits"):
        pair.server._loop.run(pair.now, asyncio.sleep, 0)
    assert asyncio._get_running_loop() is None


def test_an_error_in_a_timer_ends_the_association_and_nothing_else(pair: Pair) -> None:
    def fail() -> None:
        raise AssertionError

    pair.server._loop.call_later(1.0, fail)
    pair.server.handle_timeout(pair.now + 1.0)
    assert pair.server.closed is not None
    pair.pump()
    assert pair.client.closed is not None


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(packets=st.lists(st.binary(max_size=120), max_size=8))
def test_packets_that_are_no_packets_leave_the_association_as_it_was(
    support: ModuleType, packets: list[bytes]
) -> None:
    pair = Pair(support)
    pair.pump()
    for packet in packets:
        pair.give(pair.server, packet)
    assert len(pair.faults) == len(packets)
    assert pair.still_works()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_chunks_raise_nothing_but_bad_packet(
    load_fuzz: Callable[[str], ModuleType], data: st.DataObject
) -> None:
    target = load_fuzz("fuzz_sctp")
    seeds = SEEDS or SEEDS.extend(target.seeds()) or SEEDS  # type: ignore[func-returns-value]
    case = bytearray(data.draw(st.sampled_from(seeds)))
    for _ in range(data.draw(st.integers(0, 6))):
        case[data.draw(st.integers(0, len(case) - 1))] = data.draw(st.integers(0, 255))
    target.fuzz(bytes(case))


SEEDS: list[bytes] = []
