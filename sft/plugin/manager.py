"""The plugin manager: checks plugins when they are loaded, calls their hooks, contains their faults.

pluggy finds and checks the implementations; they are called here one at a time, so that a fault has
a name and the rest still run. What a fault does is said per hook in :mod:`sft.plugin.hookspecs`.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import pluggy
import structlog

from sft.config import Config, read_config, read_plugin_tables
from sft.errors import ConfigError, LocalError, PluginError
from sft.model import DtlsIdentity, EnvelopeVerdict, ParticipantId, RosterEntry, WorkerLoad
from sft.plugin import hookspecs
from sft.plugin.builtin import builtin_plugins
from sft.plugin.builtin.placement import least_loaded
from sft.plugin.builtin.srtp import PROFILES
from sft.plugin.loading import Loaded, find_plugins
from sft.plugin.nursery import PluginNursery
from sft.plugin.values import (
    AuthRequest,
    HttpRoutes,
    PlacementRequest,
    PluginDescription,
    Verdict,
)
from sft.signalling.messages import Status

if TYPE_CHECKING:
    import trio
    from starlette.routing import BaseRoute

    from sft.plugin.interfaces import CommonServices, Engine, GatewayServices, Services, TransportFactory

T = TypeVar("T")

NOTIFICATIONS = frozenset(
    {
        "sft_roster_changed",
        "sft_call_started",
        "sft_call_ended",
        "sft_participant_joined",
        "sft_participant_left",
        "sft_join_ended",
        "sft_snapshot",
        "sft_draining",
        "sft_reload",
    }
)
"""Hooks that tell and do not ask: :meth:`PluginManager.notify` calls them."""


@attrs.frozen
class ListenerRoutes:
    """The routes of all plugins, by listener."""

    public: list[BaseRoute] = attrs.field(factory=list)
    operator: list[BaseRoute] = attrs.field(factory=list)


class _Fault(Exception):
    """An implementation raised, or gave a result of the wrong kind; logged and counted already."""

    def __init__(self, plugin: str) -> None:
        super().__init__(plugin)
        self.plugin = plugin


class PluginManager:
    """The plugins of one process.

    ``PluginManager.load(config)`` finds them; ``configure(config)`` reads their tables and hands
    each the configuration. Both raise ``ConfigError`` or ``PluginError``.
    """

    def __init__(self) -> None:
        self.faults: Counter[tuple[str, str]] = Counter()
        """By (plugin, hook), since the start."""
        self._loaded: dict[str, Loaded] = {}
        self._transports: dict[str, str] = {}
        """The plugin that gave it, by transport."""
        self._log = structlog.get_logger("plugin")
        self._pluggy = pluggy.PluginManager("sft")
        self._pluggy.add_hookspecs(hookspecs)
        self._hooks = tuple(sorted(vars(self._pluggy.hook)))
        self._arguments = {
            hook: frozenset(inspect.signature(getattr(hookspecs, hook)).parameters) for hook in self._hooks
        }

    @classmethod
    def load(cls, config: Config, builtins: Mapping[str, object] | None = None) -> PluginManager:
        """A manager with all plugins the configuration asks for; ``builtins``: instead of ours, by name."""
        manager = cls()
        found = find_plugins(config, builtin_plugins() if builtins is None else builtins)
        for loaded in reversed(found):  # pluggy asks the plugin registered last first
            manager.register(loaded)
        return manager

    def register(self, loaded: Loaded) -> None:
        """Add a plugin, to be asked before those that are there. ``PluginError``: it fits no hook."""
        self._refuse_unmarked(loaded)
        try:
            self._pluggy.register(loaded.plugin, loaded.name)
            self._pluggy.check_pending()
        except pluggy.PluginValidationError as error:
            raise PluginError(
                f"plugin {loaded.name!r} ({loaded.origin}): {error}; the hooks are: {', '.join(self._hooks)}"
            ) from error
        except ValueError as error:
            raise PluginError(f"plugin {loaded.name!r} ({loaded.origin}): {error}") from error
        for hook in self._hooks:
            for implementation in self._implementations(hook):
                if implementation.plugin is loaded.plugin:
                    _refuse_unusable(loaded, hook, implementation)
        self._loaded = {loaded.name: loaded, **self._loaded}

    def describe(self) -> list[PluginDescription]:
        """What is loaded, in the order in which it is asked."""
        return [
            PluginDescription(
                loaded.name,
                loaded.version,
                loaded.origin,
                tuple(
                    hook
                    for hook in self._hooks
                    if any(one.plugin is loaded.plugin for one in self._implementations(hook))
                ),
            )
            for loaded in self._loaded.values()
        ]

    # Configuration

    def config_tables(self) -> dict[str, type[Any] | None]:
        """The class of each plugin's table, by plugin name; None: it has none."""
        tables: dict[str, type[Any] | None] = dict.fromkeys(self._loaded)
        for plugin, table in self._all("sft_config_table", _attrs_class):
            if table in tables.values():
                raise PluginError(f"plugin {plugin!r}: another plugin has the table {table.__name__}")
            tables[plugin] = table
        return tables

    def configure(self, config: Config) -> Config:
        """The configuration with the plugins' tables read; each plugin has been handed it."""
        configured = read_plugin_tables(config, self.config_tables())
        for _ in self._all("sft_configure", _nothing, config=configured):
            pass
        return configured

    # Questions that stop the start when they go unanswered

    def transports(self, config: Config, services: Services) -> list[TransportFactory]:
        """All transport factories."""
        factories: dict[str, TransportFactory] = {}
        self._transports.clear()
        for plugin, given in self._all("sft_transports", _sequence, config=config, services=services):
            for factory in given:
                if factory.name in factories:
                    raise PluginError(f"plugin {plugin!r}: a transport {factory.name!r} is there already")
                factories[factory.name] = factory
                self._transports[factory.name] = plugin
        return list(factories.values())

    def transport_fault(self, transport: str, error: Exception) -> None:
        """A factory that :meth:`transports` gave failed in another way than its contract has."""
        self._count(self._transports[transport], "sft_transports", error)

    def engine(self, config: Config, services: Services) -> Engine | None:
        """The engine of a plugin; None: use the built-in one."""
        for _, engine in self._all("sft_engine", _engine, config=config, services=services):
            return engine
        return None

    def dtls_identity(self) -> DtlsIdentity:
        for _, identity in self._all("sft_dtls_identity", _instance_of(DtlsIdentity)):
            return identity
        raise PluginError("no plugin answers sft_dtls_identity: is the built-in plugin 'dtls' blocked?")

    def srtp_profiles(self) -> tuple[str, ...]:
        """Names of protection profiles, best first."""
        for _, profiles in self._all("sft_srtp_profiles", _srtp_profiles):
            return profiles
        raise PluginError("no plugin answers sft_srtp_profiles: is the built-in plugin 'srtp' blocked?")

    def http_routes(self, config: Config, services: GatewayServices) -> ListenerRoutes:
        """The routes of all plugins."""
        all_routes = ListenerRoutes()
        for _, given in self._all("sft_http_routes", _http_routes, config=config, services=services):
            for one in given:
                getattr(all_routes, one.listener).extend(one.routes)
        return all_routes

    # Questions that have an answer without plugins

    def place_call(self, request: PlacementRequest, workers: Sequence[WorkerLoad]) -> int:
        """The ``worker`` of one of ``workers``; on a fault the least loaded."""

        def one_of_them(answer: object) -> int:
            for load in workers:
                if load.worker == answer:
                    return load.worker
            raise ValueError(f"gave worker {answer!r}, which is not one of those offered")

        try:
            worker = self._first("sft_place_call", one_of_them, request=request, workers=workers)
        except _Fault:
            worker = None
        return least_loaded(workers) if worker is None else worker

    def authorize(self, request: AuthRequest) -> Verdict:
        """On a fault: refused."""
        try:
            return self._first("sft_authorize", _instance_of(Verdict), request=request) or Verdict.allow()
        except _Fault as fault:
            return Verdict.refuse(Status.CREDENTIALS_INVALID, f"plugin {fault.plugin!r} failed")

    def order_roster(self, call: str, roster: Sequence[RosterEntry]) -> Sequence[RosterEntry]:
        """The same entries in the order to announce; on a fault as they came."""

        def same_entries(answer: Sequence[RosterEntry]) -> Sequence[RosterEntry]:
            if sorted(answer, key=_join_index) != sorted(roster, key=_join_index):
                raise ValueError("entries are lost, doubled or new")
            return tuple(answer)

        try:
            ordered = self._first("sft_order_roster", same_entries, call=call, roster=tuple(roster))
        except _Fault:
            ordered = None
        return roster if ordered is None else ordered

    def key_envelope(
        self, call: str, sender: ParticipantId, recipients: Sequence[ParticipantId], envelope: str
    ) -> EnvelopeVerdict:
        """On a fault: refused."""
        try:
            verdict = self._first(
                "sft_key_envelope",
                _instance_of(EnvelopeVerdict),
                call=call,
                sender=sender,
                recipients=tuple(recipients),
                envelope=envelope,
            )
        except _Fault:
            return EnvelopeVerdict.REFUSE
        return EnvelopeVerdict.ALLOW if verdict is None else verdict

    # Telling

    def notify(self, hook: str, **arguments: object) -> None:
        """Call one of ``NOTIFICATIONS`` on every plugin; a fault skips that plugin."""
        if hook not in NOTIFICATIONS or arguments.keys() != self._arguments[hook]:
            raise LocalError(f"{hook}({', '.join(arguments)}) is not a notification")
        for implementation in self._implementations(hook):
            try:
                _call(implementation, arguments)
            except Exception as error:
                self._count(implementation.plugin_name, hook, error)

    def run(self, nursery: trio.Nursery, services: CommonServices) -> None:
        """Let every plugin start its tasks in ``nursery``; their faults end nothing but themselves."""
        for implementation in self._implementations("sft_run"):
            on_fault = partial(self._count, implementation.plugin_name, "sft_run")
            try:
                _call(implementation, {"nursery": PluginNursery(nursery, on_fault), "services": services})
            except Exception as error:
                on_fault(error)

    def fault_counts(self) -> dict[str, int]:
        """Faults by ``PLUGIN.HOOK``, of all there are, so that rates see the first."""
        return {
            f"{one.plugin_name}.{hook}": self.faults[one.plugin_name, hook]
            for hook in self._hooks
            for one in self._implementations(hook)
        }

    # How hooks are called

    def _implementations(self, hook: str) -> Iterator[pluggy.HookImpl]:
        """In the order in which they are asked."""
        caller: pluggy.HookCaller = getattr(self._pluggy.hook, hook)
        return reversed(caller.get_hookimpls())

    def _first(self, hook: str, check: Callable[[Any], T], **arguments: object) -> T | None:
        """The first answer that is not None; ``_Fault`` if a plugin failed before there was one."""
        for implementation in self._implementations(hook):
            try:
                answer = _call(implementation, arguments)
                if answer is not None:
                    return check(answer)
            except Exception as error:
                self._count(implementation.plugin_name, hook, error)
                raise _Fault(implementation.plugin_name) from error
        return None

    def _all(self, hook: str, check: Callable[[Any], T], **arguments: object) -> Iterator[tuple[str, T]]:
        """The answers that are not None, each with its plugin's name; a fault stops the start."""
        for implementation in self._implementations(hook):
            plugin = implementation.plugin_name
            try:
                answer = _call(implementation, arguments)
                checked = None if answer is None else check(answer)
            except ConfigError:  # not the plugin's fault but the operator's
                raise
            except Exception as error:
                self._count(plugin, hook, error)
                raise PluginError(f"plugin {plugin!r} failed in {hook}: {error!r}") from error
            if checked is not None:
                yield plugin, checked

    def _count(self, plugin: str, hook: str, error: BaseException) -> None:
        self.faults[plugin, hook] += 1
        first = self.faults[plugin, hook] == 1  # one stack trace tells it all
        self._log.error(
            "plugin_fault", plugin=plugin, hook=hook, error=repr(error), exc_info=error if first else None
        )

    def _refuse_unmarked(self, loaded: Loaded) -> None:
        for hook in self._hooks:
            if callable(getattr(loaded.plugin, hook, None)) and not self._pluggy.parse_hookimpl_opts(
                loaded.plugin, hook
            ):
                raise PluginError(
                    f"plugin {loaded.name!r} ({loaded.origin}): {hook} is not marked with @hookimpl"
                )


def prepare(file: Path | None) -> tuple[Config, PluginManager]:
    """What every process begins with: the configuration read from ``file``, its plugins loaded and
    configured. ``ConfigError`` or ``PluginError`` if that fails."""
    config = read_config(file)
    manager = PluginManager.load(config)
    return manager.configure(config), manager


def _call(implementation: pluggy.HookImpl, arguments: Mapping[str, object]) -> Any:
    return implementation.function(*[arguments[name] for name in implementation.argnames])


def _refuse_unusable(loaded: Loaded, hook: str, implementation: pluggy.HookImpl) -> None:
    if implementation.wrapper or implementation.hookwrapper:
        raise PluginError(f"plugin {loaded.name!r} ({loaded.origin}): {hook} must not be a wrapper")
    if inspect.iscoroutinefunction(implementation.function):
        raise PluginError(
            f"plugin {loaded.name!r} ({loaded.origin}): {hook} must be a plain function; "
            "start tasks in sft_run"
        )


def _join_index(entry: RosterEntry) -> tuple[int, str, str]:
    return entry.joined, entry.user, entry.client


# Checks of answers: they give the answer back or raise


def _engine(answer: Engine) -> Engine:
    if not callable(getattr(answer, "fan_out", None)):
        raise TypeError(f"gave {answer!r}, which has no fan_out")
    return answer


def _nothing(answer: object) -> None:
    """For hooks whose answer does not matter."""


def _instance_of(cls: type[T]) -> Callable[[object], T]:
    def check(answer: object) -> T:
        if not isinstance(answer, cls):
            raise TypeError(f"gave {answer!r}, which is not a {cls.__name__}")
        return answer

    return check


def _attrs_class(answer: object) -> type[Any]:
    if not isinstance(answer, type) or not attrs.has(answer):
        raise TypeError(f"gave {answer!r}, which is not an attrs class")
    answer()  # every key needs a default
    return answer


def _sequence(answer: object) -> Sequence[Any]:
    if not isinstance(answer, Sequence):
        raise TypeError(f"gave {answer!r}, which is not a sequence")
    return answer


def _http_routes(answer: object) -> Sequence[HttpRoutes]:
    return [_instance_of(HttpRoutes)(one) for one in _sequence(answer)]


def _srtp_profiles(answer: object) -> tuple[str, ...]:
    profiles = tuple(_sequence(answer))
    if not profiles or not set(profiles) <= set(PROFILES):
        raise ValueError(f"gave {answer!r}; allowed are one or more of {', '.join(PROFILES)}")
    return profiles
