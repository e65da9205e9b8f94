"""A listener as hypercorn wants it described, with a certificate that can be exchanged."""

from __future__ import annotations

import ssl

import hypercorn.config

from sft.errors import ConfigError


class ListenerConfig(hypercorn.config.Config):
    """hypercorn's configuration of one listener; keeps the TLS context it is served with."""

    context: ssl.SSLContext | None = None

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """hypercorn calls this when it starts to listen."""
        self.context = super().create_ssl_context()
        return self.context

    def reload_certificate(self) -> None:
        """New connections get what the files hold now; open ones stay as they are.

        ``ConfigError``: the files cannot be used, the certificate stays the old one.
        """
        if self.context is None or self.certfile is None or self.keyfile is None:
            return
        try:
            # OpenSSL takes the certificate before it finds the key unfit, so another context tries first.
            # The password keeps it from asking the terminal for one.
            for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.context):
                context.load_cert_chain(self.certfile, self.keyfile, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.certfile} with {self.keyfile} cannot be used: {error}") from error
