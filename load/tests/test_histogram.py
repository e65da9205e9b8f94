"""Distributions of durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_load.histogram import Histogram


def histogram(*seconds: float) -> Histogram:
    made = Histogram()
    for one in seconds:
        made.add(one)
    return made


@given(st.lists(st.floats(1e-5, 20.0), min_size=1), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_at_most_five_percent_too_high(values: list[float], share: float) -> None:
    values.sort()
    rank = next(n for n in range(1, len(values) + 1) if n >= len(values) * share)
    exact = values[rank - 1]
    assert exact <= histogram(*values).percentile(share) * (1 + 1e-9) <= exact * 1.05 * (1 + 1e-9)


def test_nothing_has_no_percentile() -> None:
    assert histogram().percentile(0.99) == 0.0


def test_what_is_off_the_scale_is_kept_at_its_ends() -> None:
    assert histogram(-1.0).percentile(0.5) == 1e-5
    assert histogram(1e6).percentile(0.5) == pytest.approx(21.6, rel=0.05)


def test_processes_add_up_and_moments_subtract() -> None:
    before, later = histogram(0.001), histogram(0.001, 0.010)
    assert (later - before).counts == histogram(0.010).counts
    assert (before + histogram(0.010)).counts == later.counts
