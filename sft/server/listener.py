"""A listener as hypercorn wants it described, with a certificate that can be exchanged."""

from __future__ import annotations

import socket
import ssl

import hypercorn.config
import trio
from hypercorn.utils import repr_socket_addr

from sft.errors import ConfigError


class ListenerConfig(hypercorn.config.Config):
    """hypercorn's configuration of one listener, its socket, and the TLS context it is served with."""

    def __init__(self, listening: socket.socket, certificate: str = "", key: str = "") -> None:
        """``ConfigError``: the certificate and key cannot be used."""
        super().__init__()
        self.listening = listening
        self.context: ssl.SSLContext | None = None
        if certificate:
            self.certfile = certificate
            self.keyfile = key
            self.keyfile_password = ""  # OpenSSL would ask the terminal for one
            self.alpn_protocols = ["http/1.1"]
            try:
                self.context = self.create_ssl_context()
            except (OSError, ValueError) as error:
                raise ConfigError(f"{certificate} with {key} cannot be used: {error}") from error

    @property
    def url(self) -> str:
        """Where it listens."""
        scheme = "http" if self.context is None else "https"
        return f"{scheme}://{repr_socket_addr(self.listening.family, self.listening.getsockname())}"

    def open(self) -> trio.SocketListener | trio.SSLListener[trio.SocketStream]:
        """The listener; closing it closes the socket."""
        plain = trio.SocketListener(trio.socket.from_stdlib_socket(self.listening))
        if self.context is None:
            return plain
        return trio.SSLListener(plain, self.context, https_compatible=True)

    def reload_certificate(self) -> None:
        """New connections get what the files hold now; open ones stay as they are.

        ``ConfigError``: the files cannot be used, the certificate stays the old one.
        """
        if self.context is None or self.certfile is None or self.keyfile is None:
            return
        try:
            # OpenSSL takes the certificate before it finds the key unfit, so another context tries first.
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                context.load_cert_chain(self.certfile, self.keyfile, self.keyfile_password)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.certfile} with {self.keyfile} cannot be used: {error}") from error
