"""The far end of a transport, in the test."""

from __future__ import annotations

import socket
import struct
from typing import Protocol

from sft.model import Candidate
from sft.plugin.testing.services import PATIENCE


class Client(Protocol):
    """Talks to one candidate. Blocks, for at most ``PATIENCE`` seconds."""

    def send(self, data: bytes) -> None: ...

    def receive(self) -> bytes:
        """The next datagram; ``TimeoutError`` after ``PATIENCE`` seconds."""

    def close(self) -> None: ...


class UdpClient:
    """Sends to and receives from a UDP candidate."""

    def __init__(self, candidate: Candidate) -> None:
        family = socket.AF_INET6 if ":" in candidate.host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((candidate.host, candidate.port))

    def send(self, data: bytes) -> None:
        self.socket.send(data)

    def receive(self) -> bytes:
        return self.socket.recv(65536)

    def close(self) -> None:
        self.socket.close()


class TcpClient:
    """The same for a passive TCP candidate: each datagram after its length in two bytes (RFC 4571)."""

    def __init__(self, candidate: Candidate) -> None:
        self.socket = socket.create_connection((candidate.host, candidate.port), PATIENCE)

    def send(self, data: bytes) -> None:
        self.socket.sendall(struct.pack("!H", len(data)) + data)

    def receive(self) -> bytes:
        (length,) = struct.unpack("!H", self._exactly(2))
        return self._exactly(length)

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, length: int) -> bytes:
        data = bytearray()
        while len(data) < length:
            more = self.socket.recv(length - len(data))
            if not more:
                raise ConnectionError("the transport closed the connection")
            data += more
        return bytes(data)
