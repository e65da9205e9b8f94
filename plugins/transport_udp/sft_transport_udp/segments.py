"""Several datagrams by one system call: segments of one buffer (UDP_SEGMENT, Linux 4.18).

On the wire they are datagrams like any other. They are sent by engines that have the descriptor; here is
found out whether they may.
"""

from __future__ import annotations

import platform
import socket

from sft.plugin import Services

UDP_SEGMENT = 103  # Linux, include/uapi/linux/udp.h; Python does not name it


def find_segments(wanted: bool, services: Services) -> bool:
    """Whether a worker's sockets shall have them: they are ``wanted``, and this kernel has them.

    Without, datagrams leave one by one: worth a note, and no warning.
    """
    if wanted and not kernel_has_segments():
        services.log("transport_udp.no_segments", kernel=platform.release(), needed="4.18")
        return False
    return wanted


def kernel_has_segments() -> bool:
    """A kernel that does not know UDP_SEGMENT would send several datagrams as one, and say nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, 0)
        except OSError:
            return False
    return True
