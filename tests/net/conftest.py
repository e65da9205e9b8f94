"""A small internet, browsers on its hosts, and servers for them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import pytest

from sft.dev_cert import write_certificate
from support.chromium import trusts
from support.coturn import Coturn, running_coturn
from support.internet import BORDER, NAME, NAT_PORTS, SERVER, SERVER_6, TURN, Internet
from support.lab import Host
from support.server import Json, Server, running_server
from support.web_pages import Browser

MEDIA = "40000-40015"

Serve: TypeAlias = Callable[..., AbstractContextManager[Server]]
Browse: TypeAlias = Callable[[Host], Browser]


@pytest.fixture(scope="session")
def internet() -> Iterator[Internet]:
    with Internet() as internet:
        yield internet


@pytest.fixture
def gate(internet: Internet) -> Iterator[Host]:
    """The NAT and firewall of the office; open again afterwards."""
    yield internet.gate
    internet.gate.forward_all()
    internet.gate.translate(NAT_PORTS)


@pytest.fixture
def border(internet: Internet) -> Iterator[Host]:
    """The firewall of the server's private network; open again afterwards."""
    yield internet.border
    internet.border.forward_all()


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key for wherever a server may be."""
    return write_certificate(tmp_path_factory.mktemp("tls"), [NAME, SERVER, SERVER_6, BORDER])


@pytest.fixture(scope="session")
def browse(internet: Internet, tls: tuple[Path, Path]) -> Iterator[Browse]:
    """``browse(host)``: the browser there, started when it is first asked for."""
    running: dict[Host, Browser] = {}
    with ExitStack() as stack:

        def browse(host: Host) -> Browser:
            if host not in running:
                address = f"[{SERVER_6}]" if host is internet.six else SERVER
                flags = trusts(tls[0]), f"--host-resolver-rules=MAP {NAME} {address}"
                running[host] = stack.enter_context(Browser(*flags, within=host.command))
            return running[host]

        yield browse


@pytest.fixture
def serve(internet: Internet, tls: tuple[Path, Path], tmp_path: Path) -> Serve:
    """``serve(**tables)``: a server with UDP and TCP media that listens at ``address`` on ``host``; clients
    know it by ``public``. ``addresses`` are its transports'."""

    @contextmanager
    def serve(
        host: Host = internet.server,
        address: str = SERVER,
        public: str = "",
        addresses: Sequence[Json] | str = "",
        plugins: Json | None = None,
        **tables: Json,
    ) -> Iterator[Server]:
        public = public or address
        listen, url = (f"[{one}]:443" if ":" in one else f"{one}:443" for one in (address, public))
        certificate, key = map(str, tls)
        at = {"addresses": addresses or [{"bind": address, "advertise": public}]}
        transports: Json = {"transport_udp": at | {"ports": MEDIA}, "transport_tcp": at | {"ports": "40000"}}
        with running_server(
            tmp_path / "server",
            within=host.entered,
            server={"listen": listen, "url": f"https://{url}", "certificate": certificate, "key": key},
            plugins={name: table | (plugins or {}).get(name, {}) for name, table in transports.items()},
            **tables,
        ) as server:
            server.page_url = f"https://{url}"
            yield server

    return serve


@pytest.fixture(scope="session")
def coturn(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Coturn]:
    """It takes credentials that were made with ``support.coturn.SECRET``."""
    folder, within = tmp_path_factory.mktemp("coturn"), internet.turn.entered
    with running_coturn(folder, with_secret=True, host=TURN, within=within) as coturn:
        yield coturn


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the end of its server's log."""
    report = yield
    folder = getattr(item, "funcargs", {}).get("tmp_path")
    if report.failed and folder is not None and (log := folder / "server/server.log").exists():
        report.sections.append(("server log", log.read_text(errors="replace")[-4_000:]))
    return report
