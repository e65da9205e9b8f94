"""What a page's streams did between two moments, by the browser's own statistics (getStats)."""

from __future__ import annotations

import time
from typing import Any, TypeAlias

import attrs

from support.web_pages import WebPage

Json: TypeAlias = dict[str, Any]

_RTP = """sftTest.client.getStats().then((report) =>
    [...report.values()].filter(({ type }) => type === 'inbound-rtp' || type === 'outbound-rtp'))"""


@attrs.frozen
class Stream:
    """The growth of one stream's counters. ``name``: ``audio``, ``video``, or a layer's RID."""

    direction: str
    name: str
    counts: Json

    def __getitem__(self, key: str) -> float:
        """What was added, 0 for what is not counted."""
        return float(self.counts.get(key, 0))

    def share(self, part: str, whole: str) -> float:
        return self[part] / self[whole] if self[whole] else 0.0


class Watch:
    """Streams of a page since this was made."""

    def __init__(self, page: WebPage) -> None:
        self._page = page
        self._start = time.monotonic()
        self._before = self._read()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def received(self, kind: str) -> list[Stream]:
        """Inbound streams of a kind that sound or pictures came of: padding alone is neither."""
        played = "packetsReceived" if kind == "audio" else "framesDecoded"
        return [one for one in self._streams("inbound-rtp") if one.name == kind and one[played]]

    def sent(self) -> list[Stream]:
        return [stream for stream in self._streams("outbound-rtp") if stream["packetsSent"]]

    def _streams(self, direction: str) -> list[Stream]:
        found = []
        for key, now in self._read().items():
            if now["type"] == direction:
                before = self._before.get(key, {})
                grown = {
                    name: value - before.get(name, 0)
                    for name, value in now.items()
                    if isinstance(value, int | float)
                }
                found.append(Stream(direction, now.get("rid") or now["kind"], grown))
        return found

    def _read(self) -> Json:
        return {stat["id"]: stat for stat in self._page.evaluate(_RTP)}
