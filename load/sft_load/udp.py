"""The one UDP socket of a client, and the server's candidate it is connected to."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from sft_load.batch import stamp
from sft_load.errors import NO_DESCRIPTORS, JoinError, explain

RECEIVE_BUFFER = 1 << 20

_SO_MEMINFO = 55  # Linux, include/uapi/asm-generic/socket.h; Python does not name it
_MEMINFO = struct.Struct("=9I")
_MEMINFO_DROPS = 8


class UdpPath:
    """Connected to one candidate at a time, all of the family of the best that can be reached at all."""

    def __init__(self, candidates: Sequence[tuple[str, int]], *, stamped: bool) -> None:
        """JoinError: none can be."""
        self._socket = next((one for host, port in candidates if (one := _connect(host, port))), None)
        if self._socket is None:
            raise JoinError("no way to any of the server's UDP candidates")
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.setblocking(False)
        if stamped:
            stamp(self._socket)
        inet6 = self._socket.family == socket.AF_INET6
        self._candidates = [candidate for candidate in candidates if (":" in candidate[0]) == inet6]
        self._index = self._candidates.index(self.remote)
        self.fd = self._socket.fileno()
        self.send = self._socket.send

    @property
    def remote(self) -> tuple[str, int]:
        assert self._socket is not None
        host, port, *_ = self._socket.getpeername()
        return host, port

    def next(self) -> None:
        """Try the next candidate."""
        assert self._socket is not None
        self._index = (self._index + 1) % len(self._candidates)
        try:
            self._socket.connect(self._candidates[self._index])
        except OSError:
            pass  # no way there; its turn passes

    def drops(self) -> int:
        """Datagrams that the kernel dropped because we did not read them in time."""
        assert self._socket is not None
        info = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(info)[_MEMINFO_DROPS])

    def close(self) -> None:
        assert self._socket is not None
        self._socket.close()


def _connect(host: str, port: int) -> socket.socket | None:
    try:
        one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    except OSError as error:
        if (reason := explain(error)) == NO_DESCRIPTORS:
            raise JoinError(reason) from None
        return None  # no such family here
    try:
        one.connect((host, port))
    except OSError:
        one.close()
        return None
    return one
