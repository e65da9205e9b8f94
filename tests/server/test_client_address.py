"""Whom a request comes from: the connection's other end, or whom trusted proxies name."""

from __future__ import annotations

import socket
from ipaddress import ip_network

import pytest
from starlette.requests import Request

from sft.server.http import client_address, open_listener

PROXIES = (ip_network("10.0.0.0/8"), ip_network("2001:db8:f::/48"))


def request(connection: str, forwarded: str = "") -> Request:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    return Request({"type": "http", "client": (connection, 1), "headers": headers})


@pytest.mark.parametrize(
    ("connection", "forwarded", "client"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
        ("10.1.2.3", "198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.1.2.3", "10.9.9.9", "10.9.9.9"),
        ("10.1.2.3", "", "10.1.2.3"),
        ("2001:db8:f::1", "2001:db8:1::7", "2001:db8:1::7"),
        ("::ffff:192.0.2.1", "", "192.0.2.1"),
        ("::ffff:10.1.2.3", "::ffff:198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "unknown", "unknown"),
    ],
)
def test_who_asks_is_the_last_one_that_no_trusted_proxy_is(
    connection: str, forwarded: str, client: str
) -> None:
    assert client_address(request(connection, forwarded), PROXIES) == client


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_ipv6_wildcard_takes_both_families(host: str) -> None:
    with open_listener("[::]:0") as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((host, port), timeout=5):
            listener.accept()[0].close()
