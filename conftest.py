"""For all tests, also the plugins': the long forms and Hypothesis' profiles."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--nightly", action="store_true", help="run the long forms, and only them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    nightly = config.getoption("--nightly")
    skip = pytest.mark.skip(reason="no long form" if nightly else "a long form: --nightly runs it")
    for item in items:
        if (item.get_closest_marker("nightly") is not None) != nightly:
            item.add_marker(skip)
