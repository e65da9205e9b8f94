"""Rule 7 for one slot over a whole story: loss, reordering, padding, wraps and layer switches at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

LAYERS = {"h": 0x1111, "l": 0x2222}


class LayerOracle:
    """All that ever came of one layer; numbers are places minus the in-order padding before them."""

    def __init__(self) -> None:
        self.first: int | None = None
        self.highest = 0
        self.padding: list[int] = []

    def take(self, place: int, padding: bool) -> tuple[int | None, bool]:
        """(number or None, is the newest)."""
        if self.first is None:
            self.first, self.highest = place, place - 1
        newest = place > self.highest
        self.highest = max(self.highest, place)
        if padding:
            if newest:
                self.padding.append(place)
            return None, newest
        late = place < self.first or self.highest - place >= 1024
        return (None if late else place - sum(p < place for p in self.padding)), newest

    @property
    def last(self) -> int:
        return self.highest - len(self.padding)


@st.composite
def stories(draw: st.DrawFn) -> list[tuple]:
    """("packet", layer, place, padding, key) and ("want", quality), in order."""
    events: list[tuple] = []
    for layer in LAYERS:
        place = draw(st.sampled_from([5, 65_500]))
        run = []
        for _ in range(draw(st.integers(1, 60))):
            kind = draw(st.sampled_from(["delta", "delta", "key", "padding"]))
            run.append(("packet", layer, place, kind == "padding", kind == "key"))
            place += 1 + draw(st.sampled_from([0, 0, 0, 0, 1, 3]))
        order = sorted(range(len(run)), key=lambda i: i + draw(st.sampled_from([0, 0, 0, 1.5, 3.5])))
        shuffled = [run[i] for i in order]
        at = 0
        for event in shuffled:
            at += draw(st.integers(0, 3))
            events.append((at, *event))
    wishes = st.tuples(st.integers(0, 120), st.just("want"), st.sampled_from([1, 2]))
    events += draw(st.lists(wishes, min_size=1, max_size=6))
    return [event[1:] for event in sorted(events, key=lambda event: event[0])]


@given(story=stories())
def test_outgoing_numbers_follow_the_rule_through_any_story(make_call, story: list[tuple]) -> None:
    call = make_call(3)
    sender, receiver = call.join(), call.join()
    call.connect_all()
    call.table.set_streams(receiver.endpoint, [(sender.endpoint, 2)], call.now)
    layers = {layer: LayerOracle() for layer in LAYERS}
    quality, shown, offset, first = 2, None, 0, 0
    last: int | None = None
    expected: list[tuple[int, bytes]] = []

    for event in story:
        call.now += 0.001  # no layer falls silent, nothing ticks
        if event[0] == "want":
            quality = event[1]
            call.table.set_streams(receiver.endpoint, [(sender.endpoint, quality)], call.now)
            continue
        _, layer, place, padding, key = event
        payload = b"" if padding else f"{layer}{place}".encode()
        number, newest = layers[layer].take(place, padding)
        sender.video(
            LAYERS[layer], layer, key=key, sequence=place, payload=payload, padding=4 if padding else 0
        )
        if number is None:
            continue
        known = [name for name in ("hl" if quality == 2 else "lh") if name in alive(sender)]
        if newest and key and known and known[0] == layer and shown != layer:
            last = None if shown is None else layers[shown].last + offset
            offset = (0 if last is None else last + 1) - number
            shown, first = layer, number
        if shown == layer and number >= first:
            expected.append((number + offset, payload))

    out = receiver.drain()
    assert [p.payload for p in out] == [payload for _, payload in expected]
    if out:
        assert [p.sequence - out[0].sequence & 0xFFFF for p in out] == [
            number - expected[0][0] & 0xFFFF for number, _ in expected
        ]


def alive(sender) -> set[str]:
    return {layer for layer, source in sender.endpoint.layers.items() if source.alive}
