"""What waits for a slow reader."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sft_transport_tcp.queue import CHUNK, MAX_AGE, MAX_SIGNALLING, SendQueue


class Drops:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def drain(queue: SendQueue, now: float = 0.0) -> bytes:
    taken = b""
    while chunk := queue.take(now):
        taken += chunk
    return taken


def test_media_over_the_limit_makes_room_at_its_old_end() -> None:
    drops = Drops()
    queue = SendQueue(3000, drops)
    for number in range(5):
        queue.add_media(bytes([number]) * 1000, 0.0)
    assert drops.count == 2
    assert drain(queue) == b"\2" * 1000 + b"\3" * 1000 + b"\4" * 1000
    assert not queue


def test_signalling_overtakes_media_and_is_never_dropped() -> None:
    drops = Drops()
    queue = SendQueue(1000, drops)
    for number in range(10):
        queue.add_media(b"m" * 500, 0.0)
        queue.add_signalling(bytes([number]))
    assert drain(queue) == bytes(range(10)) + b"m" * 1000
    assert drops.count == 8


def test_a_frame_that_has_begun_is_completed_before_all_else() -> None:
    queue = SendQueue(1000, Drops())
    queue.add_media(b"media", 0.0)
    chunk = queue.take(0.0)
    queue.put_back(chunk[2:])
    queue.add_signalling(b"signal")
    assert drain(queue) == b"diasignal"


def test_media_that_came_too_late_is_dropped_but_not_the_rest_of_a_frame() -> None:
    drops = Drops()
    queue = SendQueue(1000, drops)
    queue.put_back(b"rest")
    queue.add_media(b"old", 0.0)
    queue.add_media(b"new", 1.0)
    queue.add_signalling(b"signal")
    assert queue.take(1.0 + MAX_AGE) == b"restsignalnew"
    assert drops.count == 1


def test_a_reader_that_only_asks_is_known_by_the_signalling_that_piles_up() -> None:
    queue = SendQueue(1000, Drops())
    while not queue.overfull:
        queue.add_signalling(bytes(1000))
    assert MAX_SIGNALLING < len(drain(queue)) <= MAX_SIGNALLING + 1000
    assert not queue.overfull


def test_nothing_is_left_after_clear() -> None:
    queue = SendQueue(1000, Drops())
    queue.add_media(b"m", 0.0)
    queue.add_signalling(b"s")
    queue.put_back(b"r")
    queue.clear()
    assert not queue
    assert queue.take(0.0) == b""


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 900), st.integers(0, 40000)), max_size=60))
def test_frames_leave_whole_in_order_within_bounds(steps: list[tuple[bool, int, int]]) -> None:
    """Whatever the kernel takes of each chunk: what arrives is a sequence of whole frames, of each kind in
    its order, and all that is missing was counted."""
    drops = Drops()
    queue = SendQueue(5000, drops)
    wire = b""
    sent: dict[bool, list[bytes]] = {True: [], False: []}
    for number, (media, size, taken) in enumerate(steps):
        frame = b"%d %d %d|" % (media, number, size) + b"x" * size + b"\n"
        sent[media].append(frame)
        if media:
            queue.add_media(frame, 0.0)
        else:
            queue.add_signalling(frame)
        if taken % 2:
            chunk = queue.take(0.0)
            assert len(chunk) < CHUNK + 1000
            wire += chunk[:taken]
            queue.put_back(chunk[taken:])
    wire += drain(queue)
    arrived = wire.splitlines(keepends=True)
    signalling = [frame for frame in arrived if frame.startswith(b"0 ")]
    media_frames = [frame for frame in arrived if frame.startswith(b"1 ")]
    assert signalling == sent[False]
    assert len(media_frames) == len(sent[True]) - drops.count
    order = [sent[True].index(frame) for frame in media_frames]
    assert order == sorted(order)
