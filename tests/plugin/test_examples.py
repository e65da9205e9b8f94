"""The example plugins do what they say."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
import trio
import trio.testing

from sft.config import parse_config
from sft.model import EnvelopeVerdict, ParticipantId, WorkerLoad
from sft.plugin import PlacementRequest
from sft.plugin.manager import PluginManager
from sft.plugin.testing import FakeServices

MakeManager = Callable[..., PluginManager]
EXAMPLES = Path(__file__).parents[2] / "examples"
ALICE, BOB = ParticipantId("alice", "1"), ParticipantId("bob", "2")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / name / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lobby(make_manager: MakeManager, tmp_path: Path) -> PluginManager:
    manager = make_manager(hold_envelopes=load("hold_envelopes").HoldEnvelopes())
    manager.configure(parse_config("[plugins.hold_envelopes]\nreload_seconds = 0.5", tmp_path / "sft.toml"))
    return manager


def ask(lobby: PluginManager) -> EnvelopeVerdict:
    return lobby.key_envelope("c", ALICE, [BOB], "b3BhcXVl")


class GatewayServices(FakeServices):
    role: Literal["gateway"] = "gateway"  # type: ignore[assignment]  # the other process


async def test_an_envelope_is_held_until_its_sender_is_admitted(
    lobby: PluginManager, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    services = FakeServices()
    async with trio.open_nursery() as nursery:
        lobby.run(nursery, services)
        assert ask(lobby) is EnvelopeVerdict.HOLD
        (tmp_path / "admitted").write_text("alice\nbob\n")
        assert ask(lobby) is EnvelopeVerdict.HOLD, "the file is not read in the hook"
        await trio.sleep(1)
        assert ask(lobby) is EnvelopeVerdict.ALLOW
        (tmp_path / "admitted").unlink()
        await trio.sleep(1)
        assert ask(lobby) is EnvelopeVerdict.HOLD
        nursery.cancel_scope.cancel()
    assert [fields["admitted"] for _, fields in services.logged] == [2, 0]
    services.close()


@pytest.mark.parametrize("blocked", ["alice", "bob"])
async def test_envelopes_from_and_to_blocked_users_are_refused(
    blocked: str, lobby: PluginManager, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    (tmp_path / "admitted").write_text("alice")
    (tmp_path / "blocked").write_text(blocked)
    services = FakeServices()
    async with trio.open_nursery() as nursery:
        lobby.run(nursery, services)
        await trio.sleep(1)
        assert ask(lobby) is EnvelopeVerdict.REFUSE
        nursery.cancel_scope.cancel()
    services.close()


async def test_a_file_that_cannot_be_read_is_a_fault_and_the_last_list_stays(
    lobby: PluginManager, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    services: Any = FakeServices()
    async with trio.open_nursery() as nursery:
        lobby.run(nursery, services)
        (tmp_path / "admitted").write_text("alice")
        await trio.sleep(1)
        (tmp_path / "admitted").write_bytes(os.fsencode("\udcff"))
        await trio.sleep(1)
        assert ask(lobby) is EnvelopeVerdict.ALLOW
    assert lobby.faults == {("hold_envelopes", "sft_run"): 1}
    services.close()


async def test_the_gateway_does_not_look_at_the_files(lobby: PluginManager) -> None:
    services = GatewayServices()
    async with trio.open_nursery() as nursery:
        lobby.run(nursery, services)
        assert not nursery.child_tasks
    services.close()


def test_the_worker_with_the_fewest_calls_takes_the_next(make_manager: MakeManager) -> None:
    manager = make_manager(simple_placement=load("simple_placement"))
    request = PlacementRequest(call="c", user="u", client="1", address="::1")
    workers = [
        WorkerLoad(0, calls=4),
        WorkerLoad(1, calls=2, packets_per_second=9000.0),
        WorkerLoad(2, calls=2),
    ]
    assert manager.place_call(request, workers) == 1
    assert not manager.faults
