"""What a receiver's RTCP tells of the way to it: how much it carries, and whether that is too little.

Three signals, the best first:

- REMB (draft-alvestrand-rmcat-remb-03), from receivers that see absolute send times: their own estimate, by
  delay. It counts video only, payload and padding. It falls when a queue grows, rises by some 8 % a second
  otherwise, and never beyond one and a half times what arrives: high means nothing before it was tried.
- loss on the way from us, from report blocks: what we have not had ourselves is taken off.
- round-trip time from report blocks, for receivers without REMB, and where REMB merely stands still. It rises
  with other things than a queue, such as a machine that is busy, so alone it is the weakest.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

LOSS_HIGH = 0.10
LOSS_LOW = 0.02
"""Above the one too much is sent; above the other there is no room for more (as in
draft-ietf-rmcat-gcc-02 section 6)."""

LOSS_WINDOW = 2.0
"""Seconds of reports that loss is taken of."""

KEPT = 200
"""Reports, and estimates, at most: they may come as often as the receiver likes."""

LOSS_PACKETS = 40
"""With fewer packets in them, reports say nothing."""

QUEUE = 0.1
"""Seconds above the shortest round trip from which a queue is seen to stand."""

QUEUE_LONG = 0.2
"""The same, when nothing but the round trip tells."""

DRAINS = 0.95
"""A round trip shorter than this part of the last one means that the queue gets shorter."""

DRIFT = 0.001
"""Seconds per report that the shortest round trip is let rise by, because ways change."""

DROP = 0.95
"""REMB below this part of its peak has fallen."""

PEAK_SECONDS = 1.5

ABOVE = 1.1
STALL_SECONDS = 0.8
STALL_GROWTH = 1.01
STALL_TOLD = 2
"""REMB that grew by less in STALL_SECONDS, while ABOVE times as much was sent, stands still, if it was told
as often: a client that gets no CPU tells nothing."""

BACK_OFF = 0.85
"""What is left of the rate when only the round trip tells that it was too high."""


class Reason(StrEnum):
    """Which signal says that too much is sent."""

    REMB = "remb"
    LOSS = "loss"
    DELAY = "delay"


class Downlink:
    """The way from us to one receiver. Rates are bit/s of video."""

    __slots__ = (
        "_above",
        "_drains",
        "_expected",
        "_history",
        "_lost",
        "_queue",
        "_reports",
        "_shortest",
        "_told",
        "_trip",
        "remb",
        "stalled",
        "takes_remb",
    )

    def __init__(self) -> None:
        self.takes_remb = False
        """Whether it tells what it could receive, now or later: Chrome after five seconds, or at the first
        sign of a queue."""
        self.remb: int | None = None
        """The newest; None: there was none."""
        self._trip = 0.0
        self.stalled = False
        """The estimate stands still, although more is sent."""
        self._told = 0  # how often
        self._above: tuple[float, int, int] | None = None  # since when more is sent; the estimate, _told
        self._history: deque[tuple[float, int]] = deque(maxlen=KEPT)  # of REMB
        self._reports: deque[tuple[float, int, int]] = deque()  # (when, expected, lost), KEPT at most
        self._expected = self._lost = 0  # their sums
        self._shortest = float("inf")
        self._drains = False
        self._queue = 0.0  # the smaller of the last two round trips, above the shortest

    def take_remb(self, bitrate: int, now: float) -> None:
        self.remb = bitrate
        self._told += 1
        history = self._history
        history.append((now, bitrate))
        while len(history) > 2 and history[1][0] <= now - PEAK_SECONDS:
            history.popleft()

    def take_loss(self, expected: int, lost: int, now: float) -> None:
        """Of ``expected`` packets that went out, so many did not arrive."""
        if expected:
            if len(self._reports) == KEPT:
                self._forget_report()
            self._reports.append((now, expected, lost))
            self._expected += expected
            self._lost += lost

    def take_round_trip(self, seconds: float) -> None:
        before, self._trip = self._trip, seconds
        self._shortest = min(self._shortest + DRIFT, seconds)
        self._queue = min(before or seconds, seconds) - self._shortest
        self._drains = seconds < before * DRAINS

    def forget_loss(self) -> None:
        """What was reported so far is no longer true."""
        self._reports.clear()
        self._expected = self._lost = 0

    def loss(self, now: float) -> float:
        """The part of the packets that was lost lately."""
        reports = self._reports
        while reports and reports[0][0] < now - LOSS_WINDOW:
            self._forget_report()
        return self._lost / self._expected if self._expected >= LOSS_PACKETS else 0.0

    def _forget_report(self) -> None:
        _, expected, lost = self._reports.popleft()
        self._expected -= expected
        self._lost -= lost

    def watch(self, sent: float, now: float) -> None:
        """Look whether the estimate grows while more than it is sent, as it does when all is well."""
        remb = self.remb
        if remb is None or sent <= ABOVE * remb:
            self._above = None
            self.stalled = False
        elif self._above is None:
            self._above = now, remb, self._told
        elif now >= self._above[0] + STALL_SECONDS:
            since = self._told - self._above[2]
            self.stalled = remb <= self._above[1] * STALL_GROWTH and since >= STALL_TOLD
            self._above = now, remb, self._told

    def congestion(self, sent: float, now: float) -> Reason | None:
        """Why ``sent`` is more than the way carries; None: it seems not to be."""
        loss = self.loss(now)
        if loss > LOSS_HIGH:
            return Reason.LOSS
        remb = self.remb
        if not self.takes_remb and self._queue > QUEUE_LONG and not self._drains:
            return Reason.DELAY
        if remb is None or remb >= sent:
            return None
        peak = max((bitrate for when, bitrate in self._history if when >= now - PEAK_SECONDS), default=remb)
        fell = remb < peak * DROP
        stands = self.stalled and (loss > LOSS_LOW or self._queue > QUEUE)
        return Reason.REMB if fell or stands else None

    def is_certain(self, now: float) -> bool:
        """Whether there is more than an estimate: that one falls by jitter as well."""
        return self.remb is None or self.loss(now) > LOSS_LOW or self._queue > QUEUE

    def allowance(self, reason: Reason, sent: float, now: float) -> float:
        """What to send instead, when ``sent`` was too much."""
        if reason is Reason.LOSS:
            sent *= 1 - self.loss(now)  # what arrived
        elif reason is Reason.DELAY:
            sent *= BACK_OFF
        return sent if self.remb is None else min(sent, self.remb)

    def carried(self, sent: float) -> float:
        """How much of ``sent`` is known to arrive, while there is no congestion."""
        return sent if self.remb is None else min(sent, self.remb)

    def has_room(self, now: float) -> bool:
        """Whether nothing speaks against sending more."""
        waits = self._trip - self._shortest >= QUEUE
        if self.loss(now) >= LOSS_LOW or (waits and not self.takes_remb):
            return False
        return not self.stalled
