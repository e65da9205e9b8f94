"""Many datagrams with one system call: recvmmsg(2), which Python does not have."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from cffi import FFI

COUNT = 64
SIZE = 2048
SO_TIMESTAMPNS = 35  # Linux, include/uapi/asm-generic/socket.h; Python does not name it

_CONTROL = 64  # room for one timestamp
_STAMP = struct.Struct("=16xqq")
"""A control message's header (length, level, type), then a timespec."""

ffi = FFI()
ffi.cdef("""
    struct iovec { void *iov_base; size_t iov_len; };
    struct msghdr {
        void *msg_name; unsigned int msg_namelen; struct iovec *msg_iov; size_t msg_iovlen;
        void *msg_control; size_t msg_controllen; int msg_flags;
    };
    struct mmsghdr { struct msghdr msg_hdr; unsigned int msg_len; };
    int recvmmsg(int, struct mmsghdr *, unsigned int, int, void *);
""")
_lib = ffi.dlopen(None)
_HEADER_SIZE = ffi.sizeof("struct mmsghdr")
_LENGTH_AT = ffi.offsetof("struct mmsghdr", "msg_len")
_LENGTH = struct.Struct(f"={_LENGTH_AT}xI{_HEADER_SIZE - _LENGTH_AT - 4}x")
_RTP = struct.Struct(f"!BBH4xI{SIZE - 12}x")
_WORD = struct.Struct("!I")


def stamp(of: socket.socket) -> None:
    """Have the kernel say of each datagram when it came (:meth:`Batch.stamps`)."""
    of.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


class Batch:
    """Memory for the datagrams of one call; what it gives out is good until the next call."""

    def __init__(self) -> None:
        self._memory = ffi.new("char[]", COUNT * SIZE)
        self._controls = ffi.new("char[]", COUNT * _CONTROL)
        self._vectors = ffi.new("struct iovec[]", COUNT)
        self._headers = ffi.new("struct mmsghdr[]", COUNT)
        for index in range(COUNT):
            self._vectors[index].iov_base = self._memory + index * SIZE
            self._vectors[index].iov_len = SIZE
            header = self._headers[index].msg_hdr
            header.msg_iov = self._vectors + index
            header.msg_iovlen = 1
            header.msg_control = self._controls + index * _CONTROL
        self._data = memoryview(ffi.buffer(self._memory))
        self._lengths = memoryview(ffi.buffer(self._headers))
        self._stamps = memoryview(ffi.buffer(self._controls))
        self._stamped = False

    def receive(self, fd: int, *, stamped: bool = False) -> int:
        """How many datagrams came, at most COUNT; 0: none for now. OSError: as the socket says.

        ``stamped``: the socket was given to :func:`stamp`.
        """
        if stamped or self._stamped:
            for index in range(COUNT):
                self._headers[index].msg_hdr.msg_controllen = _CONTROL if stamped else 0
            self._stamped = stamped
        count: int = _lib.recvmmsg(fd, self._headers, COUNT, socket.MSG_DONTWAIT, ffi.NULL)
        if count < 0:
            error = ffi.errno
            if error in (11, 4):  # EAGAIN, EINTR
                return 0
            raise OSError(error, "recvmmsg failed")
        return count

    def headers(self, count: int) -> Iterator[tuple[int, int, int, int]]:
        """Of each datagram what RTP has there: first byte, second byte, sequence number, SSRC.

        A shorter datagram shows what lay in memory before."""
        return _RTP.iter_unpack(self._data[: count * SIZE])

    def lengths(self, count: int) -> Iterator[tuple[int]]:
        return _LENGTH.iter_unpack(self._lengths[: count * _HEADER_SIZE])

    def source(self, index: int) -> int:
        """The first CSRC of a datagram that is RTP and has one."""
        source: int = _WORD.unpack_from(self._data, index * SIZE + 12)[0]
        return source

    def came(self, index: int) -> float:
        """When a stamped datagram came, in seconds of the real-time clock."""
        seconds, nanoseconds = _STAMP.unpack_from(self._stamps, index * _CONTROL)
        return float(seconds + nanoseconds / 1e9)

    def datagram(self, index: int, length: int) -> bytes:
        return bytes(self._data[index * SIZE : index * SIZE + length])
