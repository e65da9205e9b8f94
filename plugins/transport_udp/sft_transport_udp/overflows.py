"""How many of the datagrams that the kernel dropped were lost because nobody read in time.

At a socket the kernel counts them together with what a filter dropped on purpose. Apart it only counts them
for all sockets of the network namespace: so many were lost at ours, at most.
"""

from __future__ import annotations

from collections.abc import Callable

_IPV4, _IPV6 = "/proc/thread-self/net/snmp", "/proc/thread-self/net/snmp6"


class Overflows:
    """One per worker."""

    def __init__(self, of_namespace: Callable[[], int | None] | None = None) -> None:
        """``of_namespace``: how many found a full buffer, at any socket; None: nobody knows."""
        self._of_namespace = read_overflows if of_namespace is None else of_namespace
        self._anywhere = self._of_namespace()
        self._drops = 0
        self._count = 0

    def among(self, drops: int) -> int:
        """Of these, which our sockets have dropped so far; all of them where the kernel does not tell."""
        anywhere = self._of_namespace()
        if anywhere is None or self._anywhere is None:
            return drops
        self._count += max(0, min(drops - self._drops, anywhere - self._anywhere))
        self._drops, self._anywhere = drops, anywhere
        return self._count


def read_overflows() -> int | None:
    """``RcvbufErrors`` of UDP over IPv4 and IPv6; 60 us."""
    try:
        with open(_IPV4) as ipv4:
            names, values = [line.split() for line in ipv4 if line.startswith("Udp: ")]
        count = int(values[names.index("RcvbufErrors")])
    except (OSError, ValueError):
        return None
    try:
        with open(_IPV6) as ipv6:
            return count + sum(int(line.split()[1]) for line in ipv6 if line.startswith("Udp6RcvbufErrors"))
    except OSError:  # a kernel without IPv6
        return count
