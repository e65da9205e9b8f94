"""Every error this package raises on purpose.

::

    SftError
    ├── ConfigError          the operator's config is wrong; says file, key path and what is allowed
    ├── PluginError          a plugin is unknown, misspelt, or failed where a failure stops the start
    ├── TransportError       a transport could not be opened (our side)
    │   └── PortsExhausted   no port is free in the configured range
    ├── LocalError           we broke a rule of our own: a bug, worth a stack trace
    └── RemoteError          the other side broke a rule: counted, logged once per peer
        └── BadPacket        the only error a function named ``*_untrusted`` may raise

An operator alerts on ``LocalError``; ``RemoteError`` is weather.
"""

from __future__ import annotations

from sft.model import Drop


class SftError(Exception):
    """Root of the tree."""


class ConfigError(SftError):
    """The configuration cannot be used; the text names file, key path and what is allowed."""


class PluginError(SftError):
    """A plugin cannot be loaded or failed in a hook whose failure stops the start."""


class TransportError(SftError):
    """A transport could not be opened."""


class PortsExhausted(TransportError):
    """No port of the configured range is free."""


class LocalError(SftError):
    """Our own side broke a rule of a protocol or of an interface."""


class RemoteError(SftError):
    """The other side broke a rule of a protocol."""


class BadPacket(RemoteError):
    """Bytes from the network that go no further.

    ``reason`` is the name under which the drop is counted, ``detail`` is for the one log line
    a peer may cause.
    """

    def __init__(self, reason: Drop, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
