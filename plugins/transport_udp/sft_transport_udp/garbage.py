"""What the kernel drops before it takes anybody's time: datagrams that no peer can have meant for us.

A classic BPF program on the socket (SO_ATTACH_FILTER). It passes by the first byte what RFC 7983 calls STUN,
DTLS and RTP; of STUN only what has the magic cookie, of DTLS only what has its version. It looks at nothing
else, so all that a peer could make something of still comes, from whatever address. What it drops, the kernel
counts (``kernel_drops``).
"""

from __future__ import annotations

import ctypes
import socket
import struct

SO_ATTACH_FILTER = 26  # Linux, include/uapi/asm-generic/socket.h; Python does not name it

_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")

# Opcodes of include/uapi/linux/bpf_common.h: class | size | mode, class | operation | operand.
_LOAD_BYTE = 0x00 | 0x10 | 0x20
_LOAD_WORD = 0x00 | 0x00 | 0x20
_IF_EQUAL = 0x05 | 0x10
_IF_AT_LEAST = 0x05 | 0x30
_RETURN = 0x06

_PAYLOAD = 8
"""What the program sees begins with the UDP header."""

_COOKIE = 0x2112A442
_DTLS_MAJOR = 0xFE  # of DTLS 1.0 and 1.2, which is what OpenSSL speaks
_EVERYTHING = 0xFFFFFFFF

# (operation, how far to jump if so, how far if not, operand). A load behind the end drops the datagram.
_FILTER = (
    (_LOAD_BYTE, 0, 0, _PAYLOAD),
    (_IF_AT_LEAST, 2, 0, 4),
    (_LOAD_WORD, 0, 0, _PAYLOAD + 4),  # 0 to 3: STUN
    (_IF_EQUAL, 6, 7, _COOKIE),
    (_IF_AT_LEAST, 3, 0, 64),
    (_IF_AT_LEAST, 0, 5, 20),  # 20 to 63: DTLS
    (_LOAD_BYTE, 0, 0, _PAYLOAD + 1),
    (_IF_EQUAL, 2, 3, _DTLS_MAJOR),
    (_IF_AT_LEAST, 0, 2, 128),
    (_IF_AT_LEAST, 1, 0, 192),  # 128 to 191: RTP and RTCP
    (_RETURN, 0, 0, _EVERYTHING),
    (_RETURN, 0, 0, 0),
)


def drop_garbage(at: socket.socket) -> bool:
    """Have the kernel do it at this socket. False: this kernel does not."""
    program = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*line) for line in _FILTER))
    pointer = _PROGRAM.pack(len(_FILTER), ctypes.addressof(program))
    try:
        at.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, pointer)
    except OSError:
        return False
    return True
