"""The conformance kit on the example transport, and what is special about it."""

from __future__ import annotations

import importlib.util
import itertools
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from sft.model import Candidate, Drop
from sft.plugin import PortsExhausted, TransportError
from sft.plugin.testing import PATIENCE, FakeServices, Received, TransportConformance

FILE = Path(__file__).parents[1] / "unix_transport.py"
numbers = itertools.count(50000)


def load() -> ModuleType:
    """The module, installed or not."""
    spec = importlib.util.spec_from_file_location("unix_transport", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["unix_transport"] = importlib.util.module_from_spec(spec)  # attrs looks it up
    spec.loader.exec_module(module)
    return module


unix_transport = load()


class UnixClient:
    """Has a file of its own beside the server's."""

    def __init__(self, folder: Path, candidate: Candidate) -> None:
        self.file = folder / f"{next(numbers)}.sock"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(PATIENCE)
        self.socket.bind(str(self.file))
        self.socket.connect(str(folder / f"{candidate.port}.sock"))

    def send(self, data: bytes) -> None:
        self.socket.send(data)

    def receive(self) -> bytes:
        return self.socket.recv(65536)

    def close(self) -> None:
        self.socket.close()
        self.file.unlink(missing_ok=True)


class TestUnix(TransportConformance):
    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_factory(self, services: FakeServices, transports: int) -> Any:
        config = unix_transport.UnixConfig(str(self.folder), f"40000-{40000 + transports - 1}")
        return unix_transport.UnixFactory(config, services)

    def make_client(self, candidate: Candidate) -> UnixClient:
        return UnixClient(self.folder, candidate)


@pytest.fixture
def services() -> Iterator[FakeServices]:
    services = FakeServices()
    yield services
    services.close()


def test_a_sender_without_a_file_in_the_folder_is_nobody(services: FakeServices, tmp_path: Path) -> None:
    folder = tmp_path / "sft"
    folder.mkdir()
    factory = unix_transport.UnixFactory(unix_transport.UnixConfig(str(folder)), services)
    received = Received()
    transport = factory.open(received)
    for name in ("", str(tmp_path / "50000.sock"), str(folder / "x.sock"), "\0/50000.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
            if name:
                stranger.bind(name)
            stranger.sendto(b"hello", str(folder / f"{transport.port}.sock"))
            stranger.sendto(bytes(3000), str(folder / f"{transport.port}.sock"))
    services.poll_until(lambda: services.drops.counts[Drop.TOO_LARGE] == 4, "all came")
    assert services.drops.counts[Drop.NO_PEER] == 4
    assert received.payloads == []
    factory.close()
    assert list(folder.glob("4*")) == []


def test_workers_share_the_numbers(tmp_path: Path) -> None:
    config = unix_transport.UnixConfig(str(tmp_path), "40000-40002")
    ports = []
    for worker in range(2):
        services = FakeServices(worker, 2)
        factory = unix_transport.UnixFactory(config, services)
        ports += [factory.open(Received()).port for _ in range(factory.stats().ports_free)]
        with pytest.raises(PortsExhausted):
            factory.open(Received())
        factory.close()
        services.close()
    assert ports == [40000, 40001, 40002]


def test_a_missing_folder_is_found_and_no_exhaustion(services: FakeServices, tmp_path: Path) -> None:
    factory = unix_transport.UnixFactory(unix_transport.UnixConfig(str(tmp_path / "gone")), services)
    assert [finding.ok for finding in factory.check()] == [False]
    with pytest.raises(TransportError, match="No such file"):
        factory.open(Received())
