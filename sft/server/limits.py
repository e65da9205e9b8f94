"""How often an address may ask to join."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict

MAX_ADDRESSES = 10_000


def network_of(address: str) -> str:
    """Whom a limit per address counts: everybody with IPv6 has a network of 64 bits to choose addresses from,
    so it is that. Text that is no address, as a proxy may give it, counts as it stands."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))


class JoinRate:
    """A token bucket per client address (:func:`network_of`): ``per_second`` on average, ``burst`` at once.

    Remembers a bounded number of addresses; the one not heard of for longest is forgotten, which by
    then has a full bucket again unless ten thousand others asked meanwhile.
    """

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allow(self, address: str, now: float) -> bool:
        address = network_of(address)
        tokens, since = self._buckets.pop(address, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return allowed
