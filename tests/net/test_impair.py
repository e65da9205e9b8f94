"""The bad link itself: what ``impair`` is told is what packets meet."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import socket
import statistics
import threading
import time
from collections.abc import Iterator

import attrs
import pytest

from support.bad_link import BadLink
from support.impair import Conditions, Lane
from support.lab import Host, Lab
from support.stamps import receive, stamped, take_stamps

SIZE = 1000


def lane(**conditions: object) -> Lane:
    made = Lane("seed")
    made.conditions = dataclasses.replace(Conditions(), **conditions)
    return made


def run(lane: Lane, count: int, interval: float) -> list[tuple[int, float]]:
    """Packets at a steady pace: (number, seconds on the way) of those that arrive, in order of arrival."""
    arrived = []
    times = itertools.chain((index * interval for index in range(count)), itertools.repeat(1e9))
    due = next(times)
    for index in range(count):
        lane.take(index.to_bytes(4, "big") + bytes(SIZE - 4), due)
        due = next(times)
        while lane.deadline is not None and lane.deadline < due:
            now = lane.deadline
            for packet in lane.arrived(now):
                number = int.from_bytes(packet[:4], "big")
                arrived.append((number, now - number * interval))
    return arrived


def test_a_perfect_lane_gives_what_it_takes() -> None:
    assert run(lane(), 100, 0.01) == [(number, 0.0) for number in range(100)]


def test_loss_is_as_much_as_it_says_and_the_same_each_time() -> None:
    first = run(lane(loss=0.05), 20_000, 0.001)
    assert 0.045 < 1 - len(first) / 20_000 < 0.055
    assert run(lane(loss=0.05), 20_000, 0.001) == first


def test_a_cut_does_not_change_what_is_lost_later() -> None:
    whole = [number for number, _ in run(lane(loss=0.2), 1000, 0.001)]
    cut = lane(loss=0.2)
    cut.conditions.cut = True
    assert run(cut, 500, 0.001) == []
    cut.conditions.cut = False
    later = [number + 500 for number, _ in run(cut, 500, 0.001)]
    assert later == [number for number in whole if number >= 500]


@pytest.mark.parametrize("ordered", [True, False])
def test_jitter_spreads_the_delay_evenly_and_overtakes_only_if_it_may(ordered: bool) -> None:
    arrived = run(lane(delay=0.1, jitter=0.03, ordered=ordered), 2000, 0.02)
    numbers = [number for number, _ in arrived]
    delays = [delay for _, delay in arrived]
    assert len(arrived) == 2000
    assert 0.07 <= min(delays) < max(delays) <= 0.1301
    assert statistics.mean(delays) == pytest.approx(0.1, abs=0.015)
    assert (numbers == sorted(numbers)) == ordered


def test_a_rate_fills_the_queue_and_drops_what_would_wait_too_long() -> None:
    bottleneck = lane(rate=8 * SIZE * 50, queue=0.3)  # 50 packets a second
    arrived = run(bottleneck, 500, 0.01)
    assert len(arrived) == pytest.approx(250 + 0.3 * 50, abs=2)
    assert 0.3 < max(delay for _, delay in arrived) <= 0.321
    assert 0.28 < bottleneck.counts.queued <= 0.3
    assert bottleneck.counts.overflowed == 500 - len(arrived)


INNER, OUTER = "10.0.0.2", "10.0.0.1"


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with Lab() as lab:
        inner, outer = map(lab.host, ("inner", "outer"))
        link = lab.connect_badly(inner, outer, f"{INNER}/24")
        with udp(inner, INNER) as sender, udp(outer, OUTER) as receiver:
            sender.connect(receiver.getsockname())
            take_stamps(receiver)
            yield Wire(link, sender, receiver)


def udp(host: Host, address: str) -> socket.socket:
    with host.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, 0))
    made.settimeout(1)
    return made


@attrs.frozen
class Wire:
    """Plain UDP sockets at both ends of a real link. What each packet met is measured from outside."""

    link: BadLink
    sender: socket.socket
    receiver: socket.socket

    def run(self, count: int, pace: float, **conditions: object) -> list[tuple[int, float, float]]:
        """Packets of SIZE at ``pace`` a second: (number, seconds on the way, arrival) of those that come
        within a second of each other."""
        self.link.set_both(**(dataclasses.asdict(Conditions()) | conditions))
        arrived = []

        def receive_all() -> None:
            with contextlib.suppress(TimeoutError):
                while True:
                    arrived.append(receive(self.receiver))

        thread = threading.Thread(target=receive_all)
        thread.start()
        start = time.monotonic()
        for number in range(count):
            time.sleep(max(0.0, start + number / pace - time.monotonic()))
            self.sender.send(stamped(number, SIZE))
        thread.join()
        return arrived


def show(what: str, arrived: list[tuple[int, float, float]], sent: int) -> list[float]:
    """Print, and give the delays in order of size."""
    delays = sorted(delay for _, delay, _ in arrived)
    parts = [delays[int(part * (len(delays) - 1))] for part in (0, 0.05, 0.5, 0.95, 1)]
    shown = " ".join(f"{1000 * delay:.1f}" for delay in parts)
    print(f"{what}: {sent - len(arrived)} of {sent} lost, delay {shown} ms (least, 5 %, median, 95 %, most)")
    return delays


def test_packets_meet_what_the_link_was_told(wire: Wire) -> None:
    arrived = wire.run(1500, 500, loss=0.05, delay=0.1, jitter=0.03)
    delays = show("5 %, 100 ms, 30 ms", arrived, 1500)
    assert 0.03 < 1 - len(arrived) / 1500 < 0.07
    assert delays[0] >= 0.07
    assert delays[len(delays) // 2] == pytest.approx(0.1, abs=0.03)  # order costs some
    assert [number for number, _, _ in arrived] == sorted(number for number, _, _ in arrived)


def test_a_bottleneck_passes_its_rate_and_holds_its_queue(wire: Wire) -> None:
    arrived = wire.run(400, 200, rate=800_000, queue=0.25)
    delays = show("800 kbit/s", arrived, 400)
    (_, _, first), (_, _, last) = arrived[0], arrived[-1]
    rate = (len(arrived) - 1) * 8 * (SIZE + 28) / (last - first)
    print(f"{rate / 1000:.1f} kbit/s of IP packets passed")
    assert rate == pytest.approx(800_000, rel=0.03)
    assert 0.25 < delays[int(0.95 * len(delays))] < 0.28


def test_nothing_passes_a_cut(wire: Wire) -> None:
    assert wire.run(50, 500, cut=True) == []
    assert len(wire.run(50, 500)) == 50


def test_it_carries_more_than_a_call_sends(wire: Wire) -> None:
    before = wire.link.cpu_seconds
    arrived = wire.run(6000, 3000)
    show("3000 packets/s", arrived, 6000)
    print(f"{(wire.link.cpu_seconds - before) / 6000 * 1e6:.0f} us of CPU per packet")
    assert len(arrived) == 6000
