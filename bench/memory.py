"""Resident memory of the server's process per participant.

    python bench/memory.py [--participants 100] [--json]

Calls of ten, everybody approved, nine video slots each. Idle, and while everybody sends video that fills
the rings kept for repeats (256 packets of 1100 bytes). The base is the process before the first join. No
verdict if other programs used the machine, or if anybody's ring is not full.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import Any

from server import Server
from sft_load.fleet import Fleet
from sft_load.meter import Meter

CALL = 10
SIZE = 1100
RING = 256
RATE = 30  # packets a second of each; nobody watches, so it all stays in the rings
FILL_SECONDS = 11.0  # a ring takes 8.5
SETTLE_SECONDS = 3.0


def memory(participants: int) -> dict[str, Any]:
    with Server(participants + 10) as server:
        meter, base = Meter(server.pid), server.memory()
        fleet = Fleet(server.url)
        clients = [client for _ in range(participants // CALL) for client in fleet.gather(CALL)]
        fleet.run_for(SETTLE_SECONDS)
        idle = server.memory()
        fleet.start_media(
            [(partial(c.media.send_video, c.media.start_video(SIZE, per_frame=2)), RATE) for c in clients]
        )
        fleet.run_for(FILL_SECONDS)
        full = server.memory()
        meter.stop()
        least = min(source.sent for client in clients for source in client.media.sources)
        fleet.close()
    return {
        "participants": len(clients),
        "base_mb": round(base / 1e6, 1),
        "idle_kb_per_participant": round((idle - base) / len(clients) / 1e3),
        "full_rings_kb_per_participant": round((full - base) / len(clients) / 1e3),
        **meter.shares,
        "verdict": meter.objection or (f"none: somebody sent only {least} packets" if least < RING else ""),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--participants", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = memory(options.participants)
    print(json.dumps(result) if options.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
