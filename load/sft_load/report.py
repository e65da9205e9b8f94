"""What came out, for people and for programs."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from sft_load.campaign import Step

COLUMNS = (
    ("participants", "participants"),
    ("in_per_second", "in/s"),
    ("out_per_second", "out/s"),
    ("loss", "loss"),
    ("silence", "silent"),
    ("latency_p50_ms", "p50 ms"),
    ("latency_p99_ms", "p99 ms"),
    ("server_cpu", "server"),
    ("server_memory_mb", "MB"),
    ("server_descriptors", "fds"),
    ("own_cpu", "own"),
    ("lateness_p99_ms", "late ms"),
    ("verdict", "verdict"),
)
"""Key in the JSON, heading in the table."""

_SHARES = {"loss", "silence", "server_cpu", "own_cpu"}


def as_json(step: Step) -> dict[str, Any]:
    """All of a step in plain values; what is not known is left out."""
    window, figures = step.window, step.window.figures
    seconds = window.seconds
    row: dict[str, Any] = {
        "participants": window.participants,
        "seconds": round(seconds, 3),
        "in_per_second": round(figures.sent / seconds),
        "out_per_second": round(figures.received / seconds),
        "out_mbit_per_second": round(figures.octets * 8e-6 / seconds, 1),
        "checked_packets": figures.checked,
        "lost": figures.lost,
        "loss": round(figures.loss, 6),
        "silence": round(figures.silence, 4),
        "reordered": figures.reordered,
        "wrong": figures.wrong,
        "joins": figures.joins,
        "left": figures.left,
        "failures": dict(figures.failures),
        "own_cpu": round(window.own_cpu, 3),
        "own_kernel_drops": figures.kernel_drops,
        "unsent": figures.unsent,
    }
    for name, histogram in (
        ("latency", figures.latency),
        ("lateness", figures.lateness),
        ("opening", figures.opening),
        ("seeing", figures.seeing),
    ):
        if histogram.total:
            for share in (0.5, 0.95, 0.99):
                row[f"{name}_p{share * 100:.0f}_ms"] = round(histogram.percentile(share) * 1e3, 3)
    if window.server_cpu is not None and window.others_cpu is not None and window.end.usage is not None:
        row |= {
            "server_cpu": round(window.server_cpu, 3),
            "server_memory_mb": round(window.end.usage.memory / 1e6, 1),
            "server_descriptors": window.end.usage.descriptors,
            "server_us_per_packet": round(
                window.server_cpu * seconds / max(1, figures.sent + figures.received) * 1e6, 2
            ),
            "others_cpu": round(window.others_cpu, 3),
        }
    return row | {"verdict": step.verdict.outcome.value, "reasons": list(step.verdict.reasons)}


class Table:
    """Rows as they come, under one heading; columns that no row can have are left out."""

    def __init__(self, *, server: bool) -> None:
        self._columns = [column for column in COLUMNS if server or not column[0].startswith("server")]
        self._headed = False

    def add(self, step: Step) -> None:
        if not self._headed:
            self._headed = True
            click.echo("  ".join(f"{heading:>{self._width(heading)}}" for _, heading in self._columns))
        row = as_json(step)
        cells = [f"{_cell(key, row.get(key)):>{self._width(heading)}}" for key, heading in self._columns]
        click.echo("  ".join(cells))
        for reason in row["reasons"]:
            click.echo(f"    {reason}")

    @staticmethod
    def _width(heading: str) -> int:
        return max(7, len(heading))


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if key in _SHARES:
        return f"{value:.2%}" if key == "loss" else f"{value:.0%}"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class ProgressLine:
    """One line on a terminal that is written over; elsewhere a line every ten seconds."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()
        self._told_at = 0.0

    def __call__(self, text: str) -> None:
        if self._quiet:
            return
        if self._terminal:
            click.echo(f"\r\x1b[K{text}", err=True, nl=False)
        elif time.monotonic() >= self._told_at + 10.0:
            self._told_at = time.monotonic()
            click.echo(text, err=True)

    def clear(self) -> None:
        if self._terminal and not self._quiet:
            click.echo("\r\x1b[K", err=True, nl=False)
