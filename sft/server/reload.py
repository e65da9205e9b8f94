"""SIGHUP: what changes while calls go on is read anew: the certificate and key, and the files of plugins."""

from __future__ import annotations

import structlog
import trio

from sft.config import Config
from sft.errors import ConfigError
from sft.plugin.manager import PluginManager
from sft.server.listener import ListenerConfig


async def reload_when_told(
    config: Config,
    manager: PluginManager,
    listener: ListenerConfig,
    reloads: trio.MemoryReceiveChannel[None],
) -> None:
    """Never returns. The configuration file itself is not read again; what cannot be used is not taken."""
    log = structlog.get_logger("instance")
    async for _ in reloads:
        try:
            listener.reload_certificate()
        except ConfigError as error:
            log.error("certificate_kept", reason=str(error))
        manager.notify("sft_reload", config=config)
        log.info("reloaded")
