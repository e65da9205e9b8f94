"""Worlds for the tests of calls; see tests/support/world.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.world import World


@pytest.fixture
def make_world() -> Iterator[Callable[..., World]]:
    """Makes a world with other settings. After the test everybody leaves, and nothing may be left."""
    worlds: list[World] = []

    def make(**settings: float) -> World:
        worlds.append(World(**settings))
        return worlds[-1]

    yield make
    for world in worlds:
        world.end()
        world.assert_empty()


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """A world with the default settings."""
    return make_world()
