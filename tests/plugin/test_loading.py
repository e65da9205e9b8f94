"""Which plugins are loaded, in which order, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

from sft import hookimpl
from sft.config import parse_config
from sft.errors import ConfigError, LocalError, PluginError
from sft.plugin import Config, WorkerLoad
from sft.plugin import loading as loading_module
from sft.plugin.manager import PluginManager, prepare

MakeManager = Callable[..., PluginManager]
Installer = Callable[..., None]


def make_module(path: str, **functions: object) -> ModuleType:
    module = ModuleType(path)
    vars(module).update(functions)
    return module


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Installer:
    """Makes importable modules into installed plugins, by entry point name; no others are installed."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(loading_module, "entry_points", lambda group: [p for p in points if p.group == group])

    def add(name: str, module: ModuleType | None = None, value: str = "") -> None:
        path = f"installed_{name}"
        monkeypatch.setitem(sys.modules, path, module or make_module(path))
        points.append(EntryPoint(name, value or path, "sft"))

    return add


def names(toml: str = "", builtins: dict[str, object] | None = None) -> list[str]:
    config = parse_config(toml, Path("sft.toml"))
    return [one.name for one in PluginManager.load(config, builtins or {}).describe()]


def test_installed_plugins_are_loaded_by_name_before_the_builtin_ones(install: Installer) -> None:
    for name in ("pear", "apple"):
        install(name)
    assert names(builtins={"core": object()}) == ["apple", "pear", "core"]


def test_the_allow_list_chooses_and_orders(install: Installer) -> None:
    for name in ("apple", "pear", "plum"):
        install(name)
    assert names('[plugins]\nallow = ["plum", "apple"]') == ["plum", "apple"]
    assert names("[plugins]\nallow = []") == []


def test_the_block_list_takes_out_installed_and_builtin_ones(install: Installer) -> None:
    install("apple")
    install("pear")
    toml = '[plugins]\nblock = ["apple", "core"]'
    assert names(toml, {"core": object(), "rest": object()}) == ["pear", "rest"]


def test_a_blocked_plugin_is_not_even_imported(install: Installer) -> None:
    install("apple", value="no_such_module_anywhere")
    assert names('[plugins]\nblock = ["apple"]') == []


def test_modules_come_first_and_in_their_order(install: Installer, monkeypatch: pytest.MonkeyPatch) -> None:
    install("apple")
    holder = make_module("company.hooks", lobby=object(), __version__="7")
    monkeypatch.setitem(sys.modules, "company", make_module("company"))
    monkeypatch.setitem(sys.modules, "company.hooks", holder)
    config = parse_config('[plugins]\nmodules = ["company.hooks", "company.hooks:lobby"]')
    described = PluginManager.load(config, {}).describe()
    assert [(one.name, one.version, one.origin) for one in described] == [
        ("hooks", "7", "module company.hooks"),
        ("lobby", "", "module company.hooks:lobby"),
        ("apple", "", "installed_apple"),
    ]


def test_the_order_of_loading_is_the_order_of_asking(install: Installer) -> None:
    @hookimpl
    def sft_place_call(workers: object) -> int:
        return 1

    install("pear", make_module("pear", sft_place_call=sft_place_call))
    install("apple", make_module("apple", sft_place_call=hookimpl(lambda: None)))
    manager = PluginManager.load(Config())
    assert manager.place_call(None, [WorkerLoad(0), WorkerLoad(1)]) == 1  # type: ignore[arg-type]  # nobody looks at it


@pytest.mark.parametrize("key", ["allow", "block"])
def test_a_name_nobody_has_is_an_error_with_a_hint(key: str, install: Installer) -> None:
    install("transport_udp")
    with pytest.raises(ConfigError) as caught:
        names(f'[plugins]\n{key} = ["transport_upd"]')
    assert str(caught.value) == (
        f"sft.toml: plugins.{key}: no plugin 'transport_upd' is installed; "
        "did you mean 'transport_udp'?; allowed: transport_udp"
    )


def test_an_installed_plugin_that_cannot_be_imported_says_how_to_go_on(install: Installer) -> None:
    install("apple", value="no_such_module_anywhere")
    with pytest.raises(PluginError, match=r"plugin 'apple' .* block = \[\"apple\"\]"):
        names()


def test_a_module_that_cannot_be_imported_is_named(install: Installer) -> None:
    with pytest.raises(PluginError, match=r"plugins\.modules: 'no\.such\.module' cannot be imported"):
        names('[plugins]\nmodules = ["no.such.module"]')


def test_two_plugins_of_one_name_are_refused(install: Installer, monkeypatch: pytest.MonkeyPatch) -> None:
    install("apple")
    monkeypatch.setitem(sys.modules, "apple", make_module("apple"))
    with pytest.raises(ConfigError, match="two plugins are called 'apple'"):
        names('[plugins]\nmodules = ["apple"]')
    install("apple")
    with pytest.raises(PluginError, match="two distributions give a plugin 'apple'"):
        names()


def plugin(**functions: object) -> object:
    return type("Plugin", (), {name: staticmethod(one) for name, one in functions.items()})()


async def _async_hook() -> None: ...


def _generator_hook() -> Iterator[None]:
    yield


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        (plugin(sft_call_begun=hookimpl(lambda call: None)), "unknown hook 'sft_call_begun'"),
        (plugin(sft_call_started=hookimpl(lambda call, who: None)), "'who'.*not be found in the hookspec"),
        (plugin(sft_call_started=lambda call: None), "sft_call_started is not marked with @hookimpl"),
        (plugin(sft_run=hookimpl(_async_hook)), "sft_run must be a plain function"),
        (plugin(sft_run=hookimpl(_generator_hook, wrapper=True)), "sft_run must not be a wrapper"),
        (plugin(sft_run=hookimpl(_generator_hook, hookwrapper=True)), "sft_run must not be a wrapper"),
    ],
)
def test_hooks_that_do_not_fit_stop_the_start(
    made: object, complaint: str, make_manager: MakeManager
) -> None:
    with pytest.raises(PluginError, match=rf"(?s)plugin 'odd' \(test\).*{complaint}"):
        make_manager(odd=made)


def test_a_misspelt_hook_is_answered_with_the_right_ones(make_manager: MakeManager) -> None:
    with pytest.raises(PluginError, match=r"the hooks are: sft_authorize, sft_call_ended, "):
        make_manager(odd=plugin(sft_start=hookimpl(lambda: None)))


def test_one_object_cannot_be_two_plugins(make_manager: MakeManager) -> None:
    same = plugin()
    with pytest.raises(PluginError, match="already registered"):
        make_manager(one=same, two=same)


def test_plugins_may_ask_to_be_asked_early_or_late(make_manager: MakeManager) -> None:
    heard: list[str] = []
    manager = make_manager(
        late=plugin(sft_call_started=hookimpl(lambda: heard.append("late"), trylast=True)),
        plain=plugin(sft_call_started=hookimpl(lambda: heard.append("plain"))),
        early=plugin(sft_call_started=hookimpl(lambda: heard.append("early"), tryfirst=True)),
    )
    manager.notify("sft_call_started", call="c")
    assert heard == ["early", "plain", "late"]


# Tables


@attrs.frozen
class Fruit:
    """colour: of the skin"""

    colour: str = "red"
    seeds: int = 5


def with_table(cls: type[Any]) -> object:
    return plugin(sft_config_table=hookimpl(lambda: cls))


def test_each_plugin_reads_its_own_table(make_manager: MakeManager) -> None:
    seen: list[Fruit] = []
    fruit = plugin(
        sft_config_table=hookimpl(lambda: Fruit),
        sft_configure=hookimpl(lambda config: seen.append(config.table(Fruit))),
    )
    manager = make_manager(apple=fruit, pear=plugin())
    config = manager.configure(parse_config('[plugins.apple]\ncolour = "green"'))
    assert config.table(Fruit) == Fruit("green")
    assert seen == [Fruit("green")]
    assert manager.config_tables() == {"apple": Fruit, "pear": None}


def test_without_a_table_in_the_file_the_defaults_are_used(make_manager: MakeManager) -> None:
    assert make_manager(apple=with_table(Fruit)).configure(Config()).table(Fruit) == Fruit()


def test_a_table_that_nobody_declared_is_a_bug() -> None:
    with pytest.raises(LocalError, match="no plugin gave Fruit"):
        Config().table(Fruit)
    assert Config().with_tables(apple=Fruit("blue")).table(Fruit).colour == "blue"


@pytest.mark.parametrize(
    ("toml", "complaint"),
    [
        ("[plugins.aple]", "sft.toml: plugins.aple: no such plugin is loaded; did you mean 'apple'?"),
        ("[plugins.pear]", "sft.toml: plugins.pear: this plugin has no table"),
        (
            "[plugins.apple]\ncolor = 1",
            "sft.toml: plugins.apple.color: unknown key; did you mean 'colour'?; allowed: colour, seeds",
        ),
        (
            "[plugins.apple]\nseeds = true",
            "plugins.apple.seeds: must be an integer, not True (true or false)",
        ),
    ],
)
def test_a_wrong_table_stops_the_start(toml: str, complaint: str, make_manager: MakeManager) -> None:
    manager = make_manager(apple=with_table(Fruit), pear=plugin())
    with pytest.raises(ConfigError) as caught:
        manager.configure(parse_config(toml, Path("sft.toml")))
    assert complaint in str(caught.value)


def test_two_plugins_cannot_share_a_table_class(make_manager: MakeManager) -> None:
    with pytest.raises(PluginError, match="another plugin has the table Fruit"):
        make_manager(apple=with_table(Fruit), pear=with_table(Fruit)).config_tables()


def test_prepare_does_all_a_process_begins_with(install: Installer, tmp_path: Path) -> None:
    install("apple", make_module("apple", sft_config_table=hookimpl(lambda: Fruit)))
    file = tmp_path / "sft.toml"
    file.write_text('[plugins.apple]\ncolour = "green"')
    config, manager = prepare(file)
    assert config.table(Fruit) == Fruit("green")
    assert config.path("key.pem") == tmp_path / "key.pem"
    assert [one.name for one in manager.describe()][:1] == ["apple"]
