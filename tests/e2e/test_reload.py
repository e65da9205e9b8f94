"""SIGHUP: certificate, key and secret are read anew while calls and connections go on."""

from __future__ import annotations

import http.client
import os
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sft.dev_cert import write_certificate
from sft.signalling.credentials import SharedSecret, make_credentials
from support.clients import ClientPool, meet, settle
from support.rtp import audio
from support.server import Server, running_server
from support.wire import confconn, new_id


def reload(server: Server) -> None:
    """Send SIGHUP and wait until the server has done what it does then."""
    before = server.log_text.count('"reloaded"')
    server.signal(signal.SIGHUP)
    server.wait(lambda _: server.log_text.count('"reloaded"') > before)


def new_certificate(folder: Path, name: str) -> str:
    """PEM text of a certificate that now lies in ``folder`` together with its key."""
    certificate, key = write_certificate(folder / name, ["127.0.0.1"])
    for path in (certificate, key):
        os.replace(path, folder / path.name)
    return (folder / "cert.pem").read_text()


def shown(server: Server) -> str:
    """The certificate a new connection is shown."""
    parts = urlsplit(server.url)
    return ssl.get_server_certificate((str(parts.hostname), parts.port or 443), timeout=10)


def connected(server: Server) -> closing[http.client.HTTPSConnection]:
    """A connection that stays open between requests."""
    context = ssl._create_unverified_context()
    return closing(http.client.HTTPSConnection(urlsplit(server.url).netloc, timeout=10, context=context))


def status(connection: http.client.HTTPSConnection) -> int:
    """Of one more request."""
    connection.request("GET", "/sft/url")
    reply = connection.getresponse()
    reply.read()
    return reply.status


@pytest.fixture
def https(tmp_path: Path) -> Iterator[Server]:
    new_certificate(tmp_path, "first")
    with running_server(tmp_path, server={"certificate": "cert.pem", "key": "key.pem"}) as server:
        yield server


def test_a_new_certificate_is_shown_to_new_connections_and_open_ones_go_on(
    https: Server, tmp_path: Path
) -> None:
    old = shown(https)
    with connected(https) as open_connection:
        assert status(open_connection) == 200
        client_side = open_connection.sock
        new = new_certificate(tmp_path, "second")
        assert shown(https) == old  # not before it was told
        reload(https)
        assert shown(https) == new != old
        assert status(open_connection) == 200
        assert open_connection.sock is client_side


@pytest.mark.parametrize("broken", ["cert.pem", "key.pem", "mismatch", "missing"])
def test_a_certificate_that_cannot_be_used_is_not_taken(https: Server, tmp_path: Path, broken: str) -> None:
    old = shown(https)
    if broken == "mismatch":  # a good certificate, but not for the key that is there
        write_certificate(tmp_path / "other", ["127.0.0.1"])
        os.replace(tmp_path / "other/cert.pem", tmp_path / "cert.pem")
    elif broken == "missing":
        (tmp_path / "key.pem").unlink()
    else:
        (tmp_path / broken).write_text("no PEM")
    reload(https)
    assert shown(https) == old
    (line,) = [line for line in https.log if line["event"] == "certificate_kept"]
    assert str(tmp_path / "cert.pem") in line["reason"]
    new = new_certificate(tmp_path, "repaired")
    reload(https)
    assert shown(https) == new


def test_a_new_secret_counts_from_now_on_and_calls_go_on(tmp_path: Path, clients: ClientPool) -> None:
    old, new = "the-old-secret", "the-new-secret"
    (tmp_path / "secret").write_text(old)
    credentials = {"secret_file": "secret", "required": False}
    with running_server(tmp_path, credentials=credentials) as server:

        def accepted(secret: str) -> bool:
            """Whether somebody with credentials under this secret may start a call."""
            call, expires = new_id(), int(time.time()) + 60
            username, credential = make_credentials(
                SharedSecret.from_text(secret), expires=expires, may_start=True
            )
            request = confconn(call, new_id(), username=username, credential=credential)
            kind: str = server.post_json(f"/sft/{call}", request).json()["type"]
            return kind == "SETUP"

        ann, bob = clients.make(), clients.make()
        call = new_id()
        for client in (ann, bob):
            client.join(server.url, call)
        meet(ann, bob)
        (tmp_path / "secret").write_text(new)
        assert (accepted(old), accepted(new)) == (True, False)
        reload(server)
        assert (accepted(old), accepted(new)) == (False, True)
        (tmp_path / "secret").write_text("")
        reload(server)
        assert (accepted(old), accepted(new)) == (False, True)
        (line,) = [line for line in server.log if line["event"] == "secret_kept"]
        assert "the secret is empty" in line["reason"]
        ann.send(audio(ann.ssrcs["audio"], 10))
        settle(ann, bob)
        assert len(bob.packets) == 10
        assert ann.users == bob.users == [ann.user, bob.user]
        assert not {old, new} & set(server.log_text.split('"'))
