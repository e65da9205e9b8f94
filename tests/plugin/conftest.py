from __future__ import annotations

from collections.abc import Callable

import pytest

from sft.config import Config
from sft.plugin.loading import Loaded
from sft.plugin.manager import PluginManager


@pytest.fixture
def make_manager() -> Callable[..., PluginManager]:
    """A manager with these plugins (keywords: name=object), asked in this order, and no others."""

    def make(**plugins: object) -> PluginManager:
        manager = PluginManager()
        for name in reversed(plugins):
            manager.register(Loaded(name, plugins[name], "1.0", "test"))
        return manager

    return make


@pytest.fixture
def builtin_manager() -> PluginManager:
    """The built-in plugins and nothing that happens to be installed."""
    from sft.config import PluginsConfig

    return PluginManager.load(Config(plugins=PluginsConfig(allow=())))
