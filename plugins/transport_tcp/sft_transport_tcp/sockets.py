"""The system calls: listening sockets, and what is set on accepted ones."""

from __future__ import annotations

import socket
import struct

from sft.model import Address

BACKLOG = 512
TCP_NOTSENT_LOWAT = 25  # Linux, include/uapi/linux/tcp.h; Python does not name it everywhere

UNSENT_BYTES = 16384
"""What the kernel takes without sending it. More would be a queue nobody can drop anything from."""

UNACKNOWLEDGED_SECONDS = 30
"""A connection whose peer acknowledges nothing for so long is dead (RFC 5482); the consent time."""

RESET = struct.pack("ii", 1, 0)


def listen_tcp(host: str, port: int) -> socket.socket:
    """A non-blocking listener; ``OSError`` if the port cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        # Closed connections of a port's previous owner may linger; they are no reason to wait.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:  # leave the port's IPv4 side to its own socket
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def prepare(accepted: socket.socket) -> None:
    """Send at once, keep little in the kernel, give up what is dead. ``OSError``: it is gone already."""
    accepted.setblocking(False)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accepted.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_SECONDS * 1000)


def refuse(accepted: socket.socket) -> None:
    """Close with a reset: a stranger shall not leave us with connections in TIME-WAIT."""
    accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    accepted.close()


def network_of(address: Address) -> str | bytes:
    """What one stranger can have many of counts as one: an IPv6 network of 64 bits."""
    host = address[0]
    return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8] if ":" in host else host
