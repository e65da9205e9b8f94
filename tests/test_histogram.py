"""Values in buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sft.histogram import Distribution, Histogram


def test_a_bound_belongs_to_the_bucket_below_it() -> None:
    histogram = Histogram([1.0, 2.0])
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        histogram.observe(value)
    assert histogram.read() == Distribution((1.0, 2.0), (2, 2, 1), 8.0)


def test_what_was_read_does_not_change() -> None:
    histogram = Histogram([1.0])
    before = histogram.read()
    histogram.observe(0.5)
    assert before.counts == (0, 0)


@given(st.lists(st.floats(-10, 10)), st.lists(st.floats(-10, 10), unique=True).map(sorted))
def test_every_value_is_counted_once(values: list[float], bounds: list[float]) -> None:
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    counts = histogram.read().counts
    assert sum(counts) == len(values)
    for index, bound in enumerate(bounds):
        assert sum(counts[: index + 1]) == sum(value <= bound for value in values)
