"""The contract, its documentation and the tests cannot drift apart."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

from sft.plugin import hookspecs
from sft.plugin.manager import PluginManager

ROOT = Path(__file__).parents[2]
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("sft_"))


@pytest.fixture(scope="module")
def render() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render", ROOT / "docs" / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["plugins.md", "configuration.md"])
def test_generated_pages_are_up_to_date(page: str, render: ModuleType) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert render.render(text) == text, "run: python docs/render.py"


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_a_section_with_exactly_its_arguments(hook: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert f"\n### `{hook}({arguments})`\n" in page


def test_the_page_documents_no_hook_that_is_gone() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### `(sft_\w+)\(", page, re.MULTILINE)) == HOOKS


@pytest.mark.parametrize("hook", HOOKS)
def test_the_table_of_faults_names_every_hook(hook: str) -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    faults = page.partition("## Faults")[2].partition("## Testing")[0]
    assert f"`{hook}`" in faults


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_says_what_its_contract_is(hook: str) -> None:
    function = getattr(hookspecs, hook)
    text = inspect.getdoc(function) or ""
    assert "When: " in text
    assert re.search(r"^A fault.*\*(stops the start|is skipped|refuses|falls back)\*", text, re.MULTILINE)
    signature = inspect.signature(function)
    for argument in signature.parameters:
        assert re.search(rf"\b{argument}: ", text), f"{argument} is not explained"
    assert (signature.return_annotation == "None") != ("Returns: " in text)


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_a_hook_would_work(hook: str) -> None:
    """It is Python, it is marked, and it takes no argument the hook does not have."""
    function = getattr(hookspecs, hook)
    example = textwrap.dedent((inspect.getdoc(function) or "").partition("Example::\n")[2])
    (implementation,) = [
        node for node in ast.parse(example).body if isinstance(node, ast.FunctionDef) and node.name == hook
    ]
    assert [ast.unparse(mark) for mark in implementation.decorator_list] == ["hookimpl"]
    taken = {argument.arg: ast.unparse(argument.annotation) for argument in implementation.args.args}  # type: ignore[arg-type]  # all are annotated
    specified = {name: one.annotation for name, one in inspect.signature(function).parameters.items()}
    assert taken.items() <= specified.items()


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_is_named_by_a_test(hook: str) -> None:
    tests = [*ROOT.glob("tests/**/test_*.py"), *ROOT.glob("plugins/*/tests/test_*.py")]
    assert any(hook in path.read_text(encoding="utf-8") for path in tests)


def test_the_manager_knows_exactly_these_hooks() -> None:
    assert sorted(PluginManager()._hooks) == HOOKS


def test_every_hook_can_be_called_through_the_manager() -> None:
    source = inspect.getsource(inspect.getmodule(PluginManager) or PluginManager)
    assert [hook for hook in HOOKS if f'"{hook}"' not in source] == []
