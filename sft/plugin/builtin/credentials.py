"""Built-in plugin ``credentials``: HMAC credentials made by the backend (protocol section 1.6).

Off unless ``[credentials] secret_file`` is set. Unlike the original server it also checks who joins
a running call. SIGHUP reads the file anew.
"""

from __future__ import annotations

import time

import attrs
import structlog

from sft import hookimpl
from sft.config import Config
from sft.errors import ConfigError
from sft.plugin.values import AuthRequest, Verdict
from sft.signalling.credentials import SharedSecret
from sft.signalling.messages import Status


@attrs.define
class Credentials:
    """The plugin, and the secret it read."""

    secret: SharedSecret | None = None
    required: bool = True

    @hookimpl
    def sft_configure(self, config: Config) -> None:
        self.required = config.credentials.required
        self.secret = _read_secret(config)

    @hookimpl
    def sft_reload(self, config: Config) -> None:
        try:
            self.secret = _read_secret(config)
        except ConfigError as error:
            structlog.get_logger("credentials").error("secret_kept", reason=str(error))

    @hookimpl
    def sft_authorize(self, request: AuthRequest) -> Verdict | None:
        if self.secret is None:
            return None
        if not request.username and not request.credential:
            return Verdict.refuse(Status.CREDENTIALS_INVALID, "no credentials") if self.required else None
        outcome = self.secret.check(
            request.username, request.credential, starting=request.starting, wall=time.time()
        )
        return Verdict(outcome.status, outcome.name.lower())


def _read_secret(config: Config) -> SharedSecret | None:
    """None: there shall be none. ``ConfigError``: there is none to be read."""
    if not config.credentials.secret_file:
        return None
    path = config.path(config.credentials.secret_file)
    try:
        return SharedSecret.from_text(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{config.file or 'configuration'}: credentials.secret_file: {path} cannot be used: {error}"
        ) from error
