"""Which plugins are loaded, from where and in which order."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points

import attrs

from sft._version import __version__
from sft.config import Config
from sft.errors import ConfigError, PluginError

ENTRY_POINT_GROUP = "sft"


@attrs.frozen
class Loaded:
    """A plugin, ready to be registered."""

    name: str
    plugin: object
    version: str
    origin: str


def find_plugins(config: Config, builtins: Mapping[str, object]) -> list[Loaded]:
    """All plugins the configuration asks for, in the order in which they are asked.

    First ``[plugins] modules`` as listed, then the installed plugins in the order of ``allow`` or by
    name, then the built-in ones. ``ConfigError``: a name is unknown or stands for two plugins;
    ``PluginError``: a plugin cannot be imported.
    """
    installed = _installed()
    wanted = config.plugins
    _refuse_unknown(config, "allow", wanted.allow or (), installed)
    _refuse_unknown(config, "block", wanted.block, [*installed, *builtins])
    names = sorted(installed) if wanted.allow is None else wanted.allow
    blocked = frozenset(wanted.block)
    plugins = [
        *_load_modules(wanted.modules),
        *(_load_installed(installed[name]) for name in names if name not in blocked),
        *(Loaded(name, builtins[name], __version__, "built-in") for name in builtins if name not in blocked),
    ]
    _refuse_doubles(config, plugins)
    return plugins


def _installed() -> dict[str, EntryPoint]:
    installed: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name in installed:
            raise PluginError(
                f"two distributions give a plugin {point.name!r}: "
                f"{_distribution(installed[point.name])[0]} and {_distribution(point)[0]}; uninstall one"
            )
        installed[point.name] = point
    return installed


def _load_installed(point: EntryPoint) -> Loaded:
    origin, version = _distribution(point)
    try:
        plugin = point.load()
    except Exception as error:
        raise PluginError(
            f"plugin {point.name!r} of {origin} {version} cannot be imported: {error!r}; "
            f'mend it, or start without it: [plugins] block = ["{point.name}"]'
        ) from error
    return Loaded(point.name, plugin, version, origin)


def _load_modules(paths: Iterable[str]) -> Iterator[Loaded]:
    """``package.module`` or ``package.module:object``; the last word is the plugin's name."""
    for path in paths:
        name = path.replace(":", ".").rpartition(".")[2]
        try:
            plugin = EntryPoint(name, path, ENTRY_POINT_GROUP).load()
        except Exception as error:
            raise PluginError(f"plugins.modules: {path!r} cannot be imported: {error!r}") from error
        yield Loaded(name, plugin, str(getattr(plugin, "__version__", "")), f"module {path}")


def _distribution(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else (point.value, "")


def _refuse_unknown(config: Config, key: str, names: Iterable[str], known: Iterable[str]) -> None:
    known = sorted(known)
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"{config.file or 'configuration'}: plugins.{key}: no plugin {name!r} is installed{hint}; "
                f"allowed: {', '.join(known) or 'none'}"
            )


def _refuse_doubles(config: Config, plugins: Iterable[Loaded]) -> None:
    seen: dict[str, Loaded] = {}
    for loaded in plugins:
        first = seen.setdefault(loaded.name, loaded)
        if first is not loaded:
            raise ConfigError(
                f"{config.file or 'configuration'}: plugins: two plugins are called {loaded.name!r} "
                f"({first.origin}; {loaded.origin}); block one or rename the module"
            )
