from __future__ import annotations

from sft.server.limits import MAX_ADDRESSES, JoinRate, network_of


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


def test_ipv6_addresses_of_one_network_share_a_budget() -> None:
    rate = JoinRate(per_second=1, burst=2)
    assert rate.allow("2001:db8:1:2::1", 0.0)
    assert rate.allow("2001:db8:1:2:ffff::2", 0.0)
    assert not rate.allow("2001:db8:1:2:3:4:5:6", 0.0)
    assert rate.allow("2001:db8:1:3::1", 0.0)


def test_what_is_no_address_counts_as_it_stands() -> None:
    assert [network_of(text) for text in ("192.0.2.7", "unknown", "")] == ["192.0.2.7", "unknown", ""]
    assert network_of("2001:DB8::7") == "2001:db8::/64"
