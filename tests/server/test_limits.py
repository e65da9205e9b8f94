from __future__ import annotations

from sft.server.limits import MAX_ADDRESSES, JoinRate


def test_a_burst_is_allowed_and_then_the_average() -> None:
    rate = JoinRate(per_second=2, burst=3)
    assert [rate.allow("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert rate.allow("a", 0.5)
    assert not rate.allow("a", 0.6)


def test_addresses_do_not_share_a_budget() -> None:
    rate = JoinRate(per_second=1, burst=1)
    assert rate.allow("a", 0.0)
    assert rate.allow("b", 0.0)
    assert not rate.allow("a", 0.0)


def test_the_number_of_addresses_remembered_is_bounded() -> None:
    rate = JoinRate(per_second=1, burst=1)
    for number in range(MAX_ADDRESSES + 100):
        rate.allow(str(number), 0.0)
    assert len(rate._buckets) == MAX_ADDRESSES
