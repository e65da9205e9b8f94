"""Writes the parts of the documentation that stand in the code: ``python docs/render.py``.

The parts lie between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``. A test fails when they are
out of date.
"""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from sft.config import Config
from sft.plugin import hookspecs
from sft_metrics.config import MetricsConfig
from sft_tracing.config import TracingConfig
from sft_transport_tcp.config import TcpConfig
from sft_transport_udp.config import UdpConfig

DOCS = Path(__file__).parent


def configuration() -> str:
    """Every table with its keys, defaults and meanings."""
    tables = {
        name: type(table)
        for name, table in attrs.asdict(Config(), recurse=False).items()
        if attrs.has(type(table))
    }
    tables["plugins.metrics"] = MetricsConfig
    tables["plugins.tracing"] = TracingConfig
    tables["plugins.transport_tcp"] = TcpConfig
    tables["plugins.transport_udp"] = UdpConfig
    return "\n\n".join(_table(name, cls) for name, cls in tables.items())


def key_meanings(cls: type[Any]) -> dict[str, str]:
    """The ``key: meaning`` entries of a table class's docstring."""
    entries = re.findall(r"^(\w+): (.+(?:\n +.+)*)", inspect.getdoc(cls) or "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def hooks() -> str:
    """Every hook as its docstring has it."""
    return "\n\n".join(_hook(name, function) for name, function in hook_functions())


def hook_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """In the order of the file."""
    for name, function in vars(hookspecs).items():
        if name.startswith("sft_"):
            yield name, function


def _table(name: str, cls: type[Any]) -> str:
    summary = (inspect.getdoc(cls) or "").partition("\n")[0]
    meanings = key_meanings(cls)
    rows = [
        f"| `{field.name}` | {_default(field.default)} | {meanings[field.name]} |"
        for field in attrs.fields(cls)
    ]
    return "\n".join([f"## [{name}]", "", summary, "", "| key | default | meaning |", "|---|---|---|", *rows])


def _default(value: object) -> str:
    match value:
        case None:
            return "not given"
        case bool():
            return f"`{str(value).lower()}`"
        case str():
            return f'`"{value}"`'
        case tuple():
            return f"`[{', '.join(map(str, value))}]`"
        case _:
            return f"`{value}`"


def _hook(name: str, function: Callable[..., Any]) -> str:
    parameters = list(inspect.signature(function).parameters)
    text, _, example = (inspect.getdoc(function) or "").partition("Example::\n")
    text = re.sub(r":class:`([^`]+)`", r"`\1`", text).replace("``", "`")
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]
    label = rf"(?:^|(?<=\. ))({'|'.join([*parameters, 'Returns', 'When', 'Where'])}): "
    body = ""
    for paragraph in paragraphs:
        opening, *items = re.split(label, paragraph)
        if opening:
            body += f"\n{opening}\n" if not items else f"\n{opening.strip()}\n\n"
        elif not body.rpartition("\n\n")[2].startswith("- "):
            body += "\n"
        for term, meaning in zip(items[::2], items[1::2], strict=True):
            body += f"- **{term}:** {meaning.strip()}\n"
    code = textwrap.dedent(example).strip()
    return f"### `{name}({', '.join(parameters)})`\n{body}\n```python\n{code}\n```"


def render(text: str) -> str:
    """``text`` with its generated parts made anew."""
    for name, part in (("configuration", configuration), ("hooks", hooks)):
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        if found:
            text = f"{before}{begin}\n\n{part()}\n\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    for page in sorted(DOCS.glob("*.md")):
        page.write_text(render(page.read_text(encoding="utf-8")), encoding="utf-8")
