"""HTTP clients that break the rules, or the connection: they harm nobody else."""

from __future__ import annotations

import base64
import random
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from sft.dev_cert import write_certificate
from support.server import START_SECONDS, Server, make_config, running_server

H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """RFC 9113 section 4.1."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A header field as a literal without indexing (RFC 7541 section 6.2.2)."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


def headers(method: bytes = b"GET", path: bytes = b"/nowhere", *, end: bool = True) -> bytes:
    pseudo = ((b":method", method), (b":path", path), (b":scheme", b"http"), (b":authority", b"localhost"))
    return frame(1, 4 | end, 1, b"".join(literal(*field) for field in pseudo))


UPGRADE = b"GET /sft/url HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade"
KEY = base64.b64encode(bytes(16))
PRIORITIES = b"".join(frame(2, 0, 2 * number + 1, b"\0\0\0\0\x10") for number in range(1200))
BREAKING = {
    "a method that is no text": [H2, headers(b"\xff")],
    "a path that is no text": [H2, headers(path=b"/\xff")],
    "data behind the answer": [H2, headers(end=False), frame(0, 0, 1, b"y")],
    "too many priorities": [H2, PRIORITIES],
    "settings that are none": [UPGRADE + b", HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n\r\n"],
    "bytes behind an upgrade": [
        UPGRADE
        + b"\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
        + KEY
        + b"\r\n\r\nrubbish"
    ],
}
SEEDS = [b"".join(parts)[:2000] for parts in BREAKING.values()] + [
    b"POST /sft/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /sft/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        yield server


def talk(server: Server, parts: list[bytes]) -> None:
    """Say all this, each part when the answer to what was before has come."""
    with server.connect() as connection, suppress(OSError):
        for part in parts:
            connection.sendall(part)
            connection.settimeout(0.2)
            with suppress(TimeoutError):
                while connection.recv(65536):
                    pass


@pytest.mark.parametrize("what", BREAKING)
def test_a_connection_that_breaks_the_library_ends_alone_and_is_counted(server: Server, what: str) -> None:
    with server.connect() as other:
        before = failed(server)
        talk(server, BREAKING[what])
        server.wait(lambda _: failed(server) == before + 1)
        other.sendall(b"GET /sft/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert other.recv(100).startswith(b"HTTP/1.1 200")
    told = [line for line in server.log if line["event"] == "connection_failed"]
    assert [line["peer"] for line in told] == ["127.0.0.1"], "once for each peer"


def failed(server: Server) -> int:
    count: int = server.snapshot()["outcomes"]["connection_failed"]
    return count


def test_mutants_of_requests_end_their_connection_only(server: Server) -> None:
    rng = random.Random(1)
    for _ in range(300):
        data = bytearray(rng.choice(SEEDS))
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        with server.connect() as connection, suppress(OSError):
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(0.05)
            while connection.recv(65536):
                pass
    assert server.get("/sft/status").status == 200


def test_a_client_that_goes_away_within_its_body_is_no_bad_request(server: Server) -> None:
    before = server.snapshot()["outcomes"]
    with server.connect() as connection:
        connection.sendall(b"POST /sft/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
    server.wait(lambda _: server.snapshot()["outcomes"]["client_gone"] == before["client_gone"] + 1)
    assert server.snapshot()["outcomes"]["bad_request"] == before["bad_request"]


def test_who_takes_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    server = Server(tmp_path, make_config())
    try:
        server.wait_until_listening()
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
            stuck.setblocking(False)
            with suppress(BlockingIOError):
                for _ in range(100_000):
                    stuck.send(b"GET /static/app.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
            server.signal(signal.SIGINT)
            start = time.monotonic()
            assert server.wait_for_end(20) == 0
            print(f"ended after {time.monotonic() - start:.1f} s")
    finally:
        server.kill()


def test_tls_speaks_http_1_only(tmp_path: Path) -> None:
    certificate, key = write_certificate(tmp_path, ["127.0.0.1"])
    with running_server(tmp_path, server={"certificate": str(certificate), "key": str(key)}) as server:
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        with server.connect() as plain, context.wrap_socket(plain) as secure:
            assert secure.selected_alpn_protocol() == "http/1.1"


def test_a_certificate_that_cannot_be_used_is_told_in_a_line(tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    server = Server(tmp_path, make_config(server={"certificate": str(rubbish), "key": str(rubbish)}))
    try:
        assert server.wait_for_end(START_SECONDS) == 1
    finally:
        server.kill()
    assert "rubbish.pem cannot be used" in server.log_text
    assert "Traceback" not in server.log_text
