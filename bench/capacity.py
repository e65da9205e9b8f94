"""How many participants one server process carries, with sft-load's standard load (C50).

    python bench/capacity.py [--start 30] [--step 10] [--most 300] [--seconds 6] [--native] [--others 0.25]

A ramp of calls of 50: everybody sends 235 packets a second and gets 665. It ends where the server loses
packets or makes them late, twice in a row, or where the clients have no more CPU. Then as many as take half
a core are held once more, for the latency that the server adds. About three minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from typing import Any

import attrs

from server import Server
from sft_load.campaign import FULL, Campaign, Step, participants_at
from sft_load.crew import Settings
from sft_load.crews import Crews
from sft_load.plan import PRESETS
from sft_load.report import ProgressLine, Table, as_json
from sft_load.window import Limits, Outcome

PLAN = attrs.evolve(PRESETS["c50"], joins_per_second=20.0)
HALF = 0.5
"""Of a core."""

HALF_SECONDS = 10.0
AIM_PARTICIPANTS = 110
AIM_LATENCY = 0.005


def capacity(
    server: Server, sizes: range, seconds: float, limits: Limits, table: Table | None
) -> dict[str, Any]:
    """The steps of the ramp, and what they say."""
    calls = tuple(uuid.uuid4().hex for _ in range(-(-sizes.stop // PLAN.per_call)))
    progress = ProgressLine(quiet=table is None)
    settings = Settings(url=f"http://{server.url.authority}/", plan=PLAN, calls=calls)
    with Crews(settings, server.pid) as crews:
        campaign = Campaign(crews, limits, progress)
        steps: list[Step] = []
        for one in campaign.ramp(sizes.start, sizes.step, sizes.stop - 1, seconds):
            steps.append(one)
            if table is not None:
                progress.clear()
                table.add(one)
        half = participants_at(steps, HALF)
        held = None
        if half is not None:
            campaign.gather(round(half))
            held = campaign.hold(HALF_SECONDS)
            progress.clear()
    passed = [one for one in steps if one.verdict.outcome is Outcome.PASSED]
    full = participants_at(steps, FULL)
    return {
        "holds": max((one.window.participants for one in passed), default=0),
        "limit_found": steps[-1].verdict.outcome is Outcome.FAILED,
        "participants_at_70_percent": None if full is None else round(full),
        "half": None if held is None else as_json(held),
        "drops": server.drops(),
        "verdict": _verdict(full, held, steps),
        "steps": [as_json(one) for one in steps],
    }


def _verdict(full: float | None, held: Step | None, steps: list[Step]) -> str:
    if full is None or held is None:
        return str(steps[-1].verdict)
    if held.verdict.outcome is Outcome.NONE:
        return str(held.verdict)
    late = held.window.figures.latency.percentile(0.99)
    participants = "reached" if full >= AIM_PARTICIPANTS else "missed"
    latency = "reached" if late <= AIM_LATENCY else "missed"
    return (
        f"{participants}: aim {AIM_PARTICIPANTS} participants; "
        f"{latency}: aim {AIM_LATENCY * 1e3:.0f} ms added at half load"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--start", type=int, default=30)
    parser.add_argument("--step", type=int, default=10)
    parser.add_argument("--most", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument(
        "--others", type=float, default=Limits().others_cpu, help="cores other programs may use"
    )
    parser.add_argument("--native", action="store_true", help="with the native engine")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table = None if options.json else Table(server=True)
    limits = Limits(others_cpu=options.others)
    sizes = range(options.start, options.most + 1, options.step)
    with Server(options.most + 50, modules=["sft_engine_native"] if options.native else []) as server:
        result = capacity(server, sizes, options.seconds, limits, table)
    if options.json:
        print(json.dumps(result))
        return
    summary = {key: value for key, value in result.items() if key != "steps"}
    print(json.dumps(summary, indent=2), file=sys.stdout)


if __name__ == "__main__":
    main()
