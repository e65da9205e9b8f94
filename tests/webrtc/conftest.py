from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load(name: str, folder: str) -> ModuleType:
    """Import a helper by its place: the test folders are no packages and ``sys.path`` stays as it is."""
    full_name = f"_sft_tests_{name}"
    if full_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            full_name, Path(__file__).parents[1] / folder / f"{name}.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[full_name] = module
        spec.loader.exec_module(module)
    return sys.modules[full_name]


@pytest.fixture(scope="session")
def support() -> ModuleType:
    """tests/support/webrtc_client.py"""
    return _load("webrtc_client", "support")


@pytest.fixture(scope="session")
def load_fuzz() -> Callable[[str], ModuleType]:
    """Loads tests/fuzz/<name>.py"""
    return lambda name: _load(name, "fuzz")


@pytest.fixture(scope="session")
def contexts(support: ModuleType) -> Any:
    """(the server's DtlsContext, the client's)"""
    return support.make_contexts()


@pytest.fixture
def link(support: ModuleType, contexts: Any) -> Any:
    """A fresh peer and client."""
    return support.make_link(contexts)


@pytest.fixture
def joined(link: Any) -> Any:
    """A peer and client with an open channel."""
    link.join()
    assert link.client.channel_open
    return link
