"""What everybody does: the traffic of a load, as values."""

from __future__ import annotations

import math

import attrs

from sft_load.errors import LoadError

FRAMES_PER_SECOND = 30
LEAST_STAY_SECONDS = 5.0
MOST_PACKETS_PER_SECOND = 100_000


@attrs.frozen
class Layer:
    """One simulcast layer: packets a second, and bytes of each before SRTP."""

    rid: str
    rate: float
    size: int = 1000

    @property
    def per_frame(self) -> int:
        """Packets of a frame, which leave together."""
        return max(1, round(self.rate / FRAMES_PER_SECOND))

    @property
    def frame_rate(self) -> float:
        return self.rate / self.per_frame


@attrs.frozen(kw_only=True)
class Plan:
    """Calls of ``per_call`` in which everybody sends and receives the same."""

    per_call: int = 10
    audio_rate: float = 50.0
    audio_size: int = 120
    speakers: int = 3
    """How many speak at any time. The others send silence."""
    spurt_seconds: float = 4.0
    """How long one speaks, on average."""
    layers: tuple[Layer, ...] = (Layer("l", 60), Layer("h", 150))
    tiles: int = 9
    """How many videos each asks for."""
    large: int = 0
    """How many of these in high quality, the first ones."""
    page_seconds: float = 0.0
    """How long one looks at the same page of tiles; 0: for ever."""
    stay_seconds: float = 0.0
    """How long one stays before another takes the seat, on average; 0: for ever."""
    pause_seconds: float = 2.0
    """How long a seat stays empty."""
    vanishing: float = 0.2
    """Share of those who leave that go without a word."""
    joins_per_second: float = 10.0
    checked_every: int = 20
    """One receiver in so many decrypts and reads what it gets."""

    def packets_in(self) -> float:
        """From each, per second."""
        return self.audio_rate + sum(layer.rate for layer in self.layers)

    @property
    def mean_stay(self) -> float:
        """Seconds; exponential, but at least LEAST_STAY_SECONDS. Infinite without churn."""
        if not self.stay_seconds:
            return math.inf
        return LEAST_STAY_SECONDS + self.stay_seconds * math.exp(-LEAST_STAY_SECONDS / self.stay_seconds)

    def check(self, total: int) -> None:
        """LoadError: so many would leave faster than others come."""
        needed = total / (self.mean_stay + self.pause_seconds)
        if needed >= self.joins_per_second:
            raise LoadError(
                f"{total} participants who come and go need {needed:.1f} joins per second, "
                f"not fewer than the {self.joins_per_second:g} of --joins-per-second"
            )

    def filling(self, total: int) -> tuple[int, float]:
        """How many of so many seats are taken for certain, once all had their turn, and after how many
        seconds: n' = joins_per_second - n / mean_stay_and_pause, while some leave already."""
        if not self.stay_seconds:
            return total, total / self.joins_per_second
        cycle = self.mean_stay + self.pause_seconds
        enough = max(1, int(total * 0.9 * self.mean_stay / cycle))
        return enough, -cycle * math.log(1 - enough / (self.joins_per_second * cycle))

    def heard(self, slots: int, seats: int, absent: int = 0) -> int:
        """How many voices come to a participant at least: one who speaks does not hear itself, and it may
        be the turn of those who are ``absent`` from their seats."""
        return max(0, min(slots, min(self.speakers, seats) - 1 - absent))


PRESETS = {
    "c50": Plan(per_call=50, audio_rate=25, speakers=6, layers=(Layer("l", 60), Layer("h", 150))),
    "c4": Plan(per_call=4, audio_rate=50, speakers=2, tiles=3, large=3),
}
"""``c50``: the standard load. Calls of 50; each sends 235 packets a second and gets 665, which are five
voices and nine low tiles. ``c4``: small calls in which everybody sees everybody in high quality."""


def read_layer(text: str) -> Layer:
    """``RID:PACKETS_PER_SECOND[:BYTES]``. LoadError: it is none."""
    words = text.split(":")
    try:
        layer = Layer(words[0], float(words[1]), *map(int, words[2:]))
    except (IndexError, ValueError, TypeError):
        raise LoadError(f"{text!r} is no layer, such as l:60:1000") from None
    if len(layer.rid) != 1 or not 0 < layer.rate <= MOST_PACKETS_PER_SECOND or not 100 <= layer.size <= 1200:
        most = f"{MOST_PACKETS_PER_SECOND:,}"
        raise LoadError(f"layer {text!r}: one letter, a rate above 0 and at most {most}, 100 to 1200 bytes")
    return layer
