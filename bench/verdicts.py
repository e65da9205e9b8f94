"""When runs prove nothing, and why: what the verdicts of benchmarks have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sft_load.meter import objection

MISSING = 0.02
"""Share of the packets due that need not be seen: at the borders of what is measured some are under way."""


def spoilt(runs: Sequence[dict[str, Any]]) -> str | None:
    """What is wrong with the worst of them. Each has ``client_cpu_share``, ``others_cpu_share`` (cores),
    ``client_lost``, ``lost``, ``wrong``, and packets ``due`` at the receivers and ``received``."""
    if reason := too_busy(runs):
        return reason
    if own := sum(run["client_lost"] for run in runs):
        return clients_lost(own)
    if bad := sum(run["lost"] + run["wrong"] for run in runs):
        return f"none: {bad} packets were lost or wrong"
    for run in runs:
        if missing(run):  # a stream that never came leaves no gap
            return f"none: {run['received']:.0f} of {run['due']:.0f} packets came"
    return None


def too_busy(runs: Sequence[dict[str, Any]]) -> str | None:
    """What of the machine the clients or other programs used, if that was too much in one of the runs."""
    return objection(*(max(run[f"{who}_cpu_share"] for run in runs) for who in ("client", "others")))


def missing(run: dict[str, Any]) -> bool:
    """Other than what was due has come."""
    return bool(abs(run["received"] - run["due"]) > MISSING * run["due"])


def clients_lost(packets: int) -> str:
    return f"none: the clients lost {packets} packets at their own sockets"
