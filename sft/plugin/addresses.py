"""This machine's own addresses, as far as transports need to know them."""

from __future__ import annotations

import ipaddress
import socket

# Addresses for documentation (RFC 3849, RFC 5737): no host has them, so only default routes lead there.
_FAR = ((socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "203.0.113.1"))


def default_addresses() -> list[str]:
    """The source addresses of the default routes, IPv6 first (RFC 8421); loopback if there is none."""
    addresses = [address for family, far in _FAR if (address := _source(family, far))]
    return addresses or ["127.0.0.1"]


def _source(family: socket.AddressFamily, far: str) -> str | None:
    """Connecting a UDP socket asks the routing table and sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((far, 9))
            address = ipaddress.ip_address(probe.getsockname()[0])
    except OSError:
        return None
    return None if address.is_loopback or address.is_link_local or address.is_unspecified else str(address)
