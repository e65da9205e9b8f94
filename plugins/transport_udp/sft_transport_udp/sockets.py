"""The system calls: bound sockets, granted buffers, what the kernel dropped."""

from __future__ import annotations

import socket
import struct

SO_MEMINFO = 55  # Linux, include/uapi/asm-generic/socket.h; Python does not name it
_MEMINFO = struct.Struct("=9I")
_MEMINFO_DROPS = 8


def bind_udp(address: str, port: int) -> socket.socket:
    """A non-blocking socket; ``OSError`` if the port cannot be had."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        if family == socket.AF_INET6:  # leave the port's IPv4 side to its own socket
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
    except BaseException:
        bound.close()
        raise
    return bound


def set_buffer(of: socket.socket, option: int, wanted: int) -> int:
    """Ask for a buffer (``SO_RCVBUF`` or ``SO_SNDBUF``) of ``wanted`` bytes, 0: leave it as it is. Gives
    what was granted: Linux cuts silently at net.core.rmem_max and wmem_max, and reports the double."""
    if wanted:
        of.setsockopt(socket.SOL_SOCKET, option, wanted)
    return of.getsockopt(socket.SOL_SOCKET, option) // 2


def kernel_drops(of: socket.socket) -> int:
    """Datagrams the kernel dropped at this socket; 0 where it does not tell."""
    try:
        info = of.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(info)[_MEMINFO_DROPS])
    except (OSError, struct.error):
        return 0


def mark(of: socket.socket, dscp: int) -> None:
    """Mark what leaves with this code point (RFC 2474); the two bits below it are ECN's."""
    if of.family == socket.AF_INET6:
        of.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    else:
        of.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)
