"""The operator's live view: a page on the operator's listener, and the numbers it shows.

``/live`` is the page and ``/live/state`` its numbers, which it asks for once a second. The hashes of
calls and participants are shortened here, so the page never has them.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from hashlib import blake2s
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from sft import hookimpl
from sft.plugin.values import CallSnapshot, HttpRoutes, ParticipantSnapshot, Snapshot
from sft.webclient import STATIC, file_route, static_files

if TYPE_CHECKING:
    from sft.config import Config
    from sft.plugin.interfaces import GatewayServices

Json: TypeAlias = dict[str, Any]

FOLDER = STATIC / "live"
SHARED = ("base.css", "icon.svg")
"""Files of the web client that the page uses as well."""

SHORT = 8
"""Digits that are left of a hash, as in the log."""

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}


class LiveState:
    """What the page is told, as JSON. Encoded once per snapshot, however many pages ask."""

    def __init__(self, services: GatewayServices, period: float) -> None:
        """``period``: seconds between snapshots."""
        self._services = services
        self._period = period
        self._secret = secrets.token_bytes(32)
        self._of: Sequence[Snapshot] | None = None
        self._encoded = b""

    def encoded(self) -> bytes:
        """The newest state."""
        snapshots = self._services.snapshots()
        if snapshots is not self._of:
            state = self.describe(snapshots)
            self._encoded = json.dumps(state, separators=(",", ":")).encode()
            self._of = snapshots
        return self._encoded

    def describe(self, snapshots: Sequence[Snapshot]) -> Json:
        """``workers`` are those that answer, of ``expected``. Counters are for the page to take rates of,
        between two values of a worker's ``time`` (seconds)."""
        instance = self._services.instance()
        return {
            "state": instance.state.value,
            "uptime": round(instance.uptime_seconds),
            "period": self._period,
            "expected": self._services.workers,
            "workers": [_worker(snapshot) for snapshot in snapshots],
            "calls": [self._call(snapshot, call) for snapshot in snapshots for call in snapshot.calls],
        }

    def _call(self, snapshot: Snapshot, call: CallSnapshot) -> Json:
        return {
            "key": self._key(call.call),
            "id": call.call[:SHORT],
            "worker": snapshot.worker,
            "age": round(call.age_seconds),
            "participants": [
                _participant(one) | {"key": self._key(f"{call.call} {one.user} {one.client}")}
                for one in call.participants
            ],
        }

    def _key(self, name: str) -> str:
        """By this the page knows its rows again: shortened hashes may be equal."""
        return blake2s(name.encode(), key=self._secret, digest_size=8).hexdigest()


def _worker(snapshot: Snapshot) -> Json:
    load = snapshot.load
    return {
        "worker": snapshot.worker,
        "state": snapshot.state.value,
        "time": round(snapshot.time, 3),
        "cpu": round(snapshot.cpu_seconds, 3),
        "memory": snapshot.memory_bytes,
        "lag": round(snapshot.loop_lag_p99, 4),
        "packets": round(load.packets_per_second),
        "participants": load.participants,
        "calls": load.calls,
        "received": sum(traffic.bytes for traffic in snapshot.received.values()),
        "sent": sum(traffic.bytes for traffic in snapshot.sent.values()),
        "ports": {
            name: {"free": stats.ports_free, "total": stats.ports_total}
            for name, stats in snapshot.transports.items()
        },
    }


def _participant(one: ParticipantSnapshot) -> Json:
    """``up`` is what comes from it, ``down`` what goes to it."""
    return {
        "id": f"{one.user[:SHORT]}.{one.client[:4]}",
        "connected": one.connected,
        "age": round(one.age_seconds),
        "silent": round(one.silent_seconds, 1),
        "transport": one.transport,
        "path": one.path,
        "remote": one.remote_path,
        "trip": round(one.round_trip_seconds, 4),
        "limited": {"by": one.limited_by, "reduced": one.slots_reduced, "paused": one.slots_paused},
        "up": {
            "bytes": one.bytes_received,
            "loss": round(one.loss_received, 4),
            "jitter": round(one.jitter_received_seconds, 4),
            "nacks": one.nacks_sent,
            "keyframes": one.keyframe_requests_sent,
            "streams": dict.fromkeys(one.sends, 1),
        },
        "down": {
            "bytes": one.bytes_sent,
            "loss": round(one.loss_sent, 4),
            "jitter": round(one.jitter_sent_seconds, 4),
            "nacks": one.nacks_received,
            "keyframes": one.keyframe_requests_received,
            "streams": dict(one.receives),
        },
    }


def routes(state: LiveState) -> list[Route]:
    """``/live``, what belongs to it below, and ``/``, which leads there."""

    async def numbers(request: Request) -> Response:
        return Response(
            state.encoded(), headers=HEADERS | {"cache-control": "no-store"}, media_type="application/json"
        )

    async def home(request: Request) -> Response:
        return RedirectResponse("live")

    page = FOLDER / "index.html"
    files = [file for file in static_files(FOLDER) if file != page] + [STATIC / name for name in SHARED]
    return [
        Route("/", home),
        file_route("/live", page, HEADERS),
        Route("/live/state", numbers),
        *(file_route(f"/live/{file.name}", file, HEADERS) for file in files),
    ]


@hookimpl
def sft_http_routes(config: Config, services: GatewayServices) -> Sequence[HttpRoutes]:
    """On the operator's listener, always."""
    return [HttpRoutes("operator", routes(LiveState(services, config.telemetry.snapshot_seconds)))]
