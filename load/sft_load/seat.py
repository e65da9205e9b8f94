"""A seat in a call: who sits there sends, looks at others, and leaves some time to another."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from sft_load.client import Client
from sft_load.conversation import tiles
from sft_load.flow import Flow
from sft_load.messages import HIGH, LOW
from sft_load.packets import LOUD, SILENT
from sft_load.plan import LEAST_STAY_SECONDS

if TYPE_CHECKING:
    from sft_load.crew import Crew

JOIN_SECONDS = 20.0
"""Who is not in the call by then has failed."""

GRACE_SECONDS = 3.0
"""From joining, or from asking for somebody, until what should come counts as silent if it does not."""

UNASKED_SECONDS = 10.0
"""How long somebody who is not asked for any more may still be shown: a request that is lost is repeated."""


@attrs.frozen
class Tile:
    """Whom one looks at in one place of the page."""

    user: str
    label: int
    """The CSRC of its packets."""
    since: float


class Seat:
    """Its clients come one after the other."""

    def __init__(self, crew: Crew, call: str, number: int, *, checked: bool) -> None:
        self.number = number
        self.client: Client | None = None
        self.wanted = True
        """Somebody shall sit here."""
        self.speaks = False
        self._crew = crew
        self._call = call
        self._checked = checked
        self._flows: list[Flow] = []
        self._page = 0
        self._tiles: list[Tile] = []
        self._until: dict[int, float] = {}
        """By label: until when those who are asked for no more may still be shown."""
        self._roster: dict[str, float] = {}
        """Since when each has been in it."""
        self._seen = False
        timers = crew.fleet.timers
        self._limit = timers.timer(self._too_late)
        self._leaver = timers.timer(self._leave)
        self._pager = timers.timer(self._turn_page)
        self._successor = timers.timer(lambda now: crew.queue(self))

    def sit(self, now: float) -> None:
        """The next one asks to join."""
        plan, fleet = self._crew.plan, self._crew.fleet
        rids = [layer.rid for layer in plan.layers]
        (client,) = fleet.add(1, self._call, plan.tiles, checked=self._checked, rids=rids)
        client.on_open, client.on_roster = self._opened, self._watch
        client.on_second, client.on_end = self._look, self._ended
        self.client = client
        self._tiles, self._until, self._roster, self._seen = [], {}, {}, False
        self._limit.set(now + JOIN_SECONDS)
        self._crew.past.joins += 1
        client.join(now)

    def speak(self, speaks: bool) -> None:
        self.speaks = speaks
        if self.client is not None and self.client.media.audio is not None:
            self.client.media.audio.level = LOUD if speaks else SILENT

    def empty(self, now: float, *, politely: bool = False) -> None:
        """Nobody shall sit here any more. ``politely``: whoever does says so."""
        self.wanted = False
        self._successor.cancel()
        if self.client is not None:
            self._leave(now, politely=politely)

    def _opened(self, now: float) -> None:
        client, crew = self.client, self._crew
        assert client is not None
        plan, random = crew.plan, crew.random
        self._limit.cancel()
        crew.sending.add(client.user)
        crew.past.opened += 1
        crew.past.opening.add(now - client.asked_at)
        media = client.media
        media.start_audio(LOUD if self.speaks else SILENT, plan.audio_size, round(48000 / plan.audio_rate))
        flows = [(media.send_audio, plan.audio_rate)]
        for layer in plan.layers:
            ticks = round(90000 / layer.frame_rate)
            source = media.start_video(layer.size, layer.per_frame, layer.rid, ticks)
            flows.append((partial(media.send_frame, source), layer.frame_rate))
        self._flows = [Flow(crew.fleet, send, rate) for send, rate in flows]
        for flow in self._flows:
            flow.start(now, random.random())
        if plan.page_seconds:
            self._pager.set(now + plan.page_seconds * (0.5 + random.random()))
        if plan.stay_seconds:
            self._leaver.set(now + max(LEAST_STAY_SECONDS, random.expovariate(1 / plan.stay_seconds)))

    def _turn_page(self, now: float) -> None:
        self._page += 1
        self._pager.set(now + self._crew.plan.page_seconds)
        self._watch(now)

    def _watch(self, now: float) -> None:
        """Ask for what the page shows now."""
        client, plan = self.client, self._crew.plan
        assert client is not None
        labels = {entry["userid"]: int(entry["ssrc_video"]) for entry in client.roster}
        self._roster = {user: self._roster.get(user, now) for user in labels}
        wanted = tiles(list(labels), client.user, self._page, min(plan.tiles, client.video_slots))
        if wanted == [tile.user for tile in self._tiles]:
            return
        before = {(place, tile.user): tile for place, tile in enumerate(self._tiles)}
        self._tiles = [
            before.get((place, user)) or Tile(user, labels[user], now) for place, user in enumerate(wanted)
        ]
        self._until = {label: until for label, until in self._until.items() if until > now}
        self._until |= {tile.label: now + UNASKED_SECONDS for tile in before.values()}
        if wanted:
            client.watch(wanted, now, [HIGH] * plan.large + [LOW] * (len(wanted) - plan.large))

    def _look(self, now: float) -> None:
        """Once a second: who is not heard or seen that should be, and who is seen that should not."""
        client, crew = self.client, self._crew
        assert client is not None
        if not self._seen and client.received.first_at:
            self._seen = True
            crew.past.seeing.add(client.received.first_at - client.asked_at)
        voices = [stream.look() for stream in client.received.audio]
        seen = {stream.look() for stream in client.received.video} - {0}
        asked = {tile.label for tile in self._tiles}
        crew.past.wrong += sum(now > self._until.get(label, 0.0) for label in seen - asked)
        settled = now - GRACE_SECONDS
        if client.open_at > settled or client.user not in crew.sending:
            return
        present = sum(since <= settled and crew.is_sending(user) for user, since in self._roster.items())
        seats = crew.seats[self._call]
        heard = crew.plan.heard(client.audio_slots, seats, max(0, seats - present))
        shown = [
            tile.label in seen
            for tile in (self._tiles if crew.plan.layers else ())
            if tile.since <= settled and crew.is_sending(tile.user)
        ]
        crew.past.slots += heard + len(shown)
        crew.past.silent_slots += max(0, heard - (len(voices) - voices.count(0))) + shown.count(False)

    def _too_late(self, now: float) -> None:
        assert self.client is not None
        self.client.fail(f"not in the call within {JOIN_SECONDS:.0f} s", now)

    def _leave(self, now: float, *, politely: bool = False) -> None:
        client, crew = self.client, self._crew
        assert client is not None
        self._stop()
        if client.open_at and (politely or crew.random.random() >= crew.plan.vanishing):
            self._limit.set(now + 2.0)  # for the answer; as long as a client that is closed waits for it
            client.leave(now)
        else:
            client.vanish(now)

    def _ended(self, now: float) -> None:
        client, crew = self.client, self._crew
        assert client is not None
        self._stop()
        self.client = None
        crew.take_leave(client)
        if self.wanted:
            self._successor.set(now + crew.plan.pause_seconds)

    def _stop(self) -> None:
        for flow in self._flows:
            flow.stop()
        self._flows = []
        if self.client is not None:
            self._crew.sending.discard(self.client.user)
        for timer in (self._limit, self._leaver, self._pager):
            timer.cancel()
