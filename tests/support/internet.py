"""A small internet in a lab, for tests of real paths.

::

    server ── internet ── turn                 public hosts
                 │ ├───── home                 a public host
                 │ ├╌╌╌╌╌ train                a public host behind a bad link
                 │ ├───── six                  a host with IPv6 only, by a tunnel
                 │ ├───── gate ── office       a private host, behind a NAT and a firewall
                 │ └───── border ┬─ cloud      a private host, behind a 1:1 NAT and a firewall
                 │               └─ desk       its neighbour
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.lab import Host, Lab
from support.server import Json, Server, merge, running_server

SERVER, SERVER_6 = "203.0.113.2", "2001:db8:1::2"
BORDER, CLOUD, DESK = "203.0.113.18", "10.1.0.2", "10.1.1.2"
TURN = "203.0.113.34"
HOME, HOME_6 = "192.0.2.2", "2001:db8:2::2"
TRAIN = "192.0.2.18"
GATE, OFFICE = "198.51.100.2", "10.0.0.2"
SIX = "2001:db8:6::2"

NAME = "sft.test"
"""The server's, which leads to both its addresses."""

NAT_PORTS = "20000-29999"
OTHER_NAT_PORTS = "30000-39999"


class Internet(Lab):
    """Its firewalls let everything pass at first."""

    def __init__(self) -> None:
        super().__init__()
        try:
            self._build()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    @contextmanager
    def running_server(self, folder: Path, **tables: Json) -> Iterator[Server]:
        """A server on its host, for pages from anywhere, by HTTP."""
        listen, media = f"{SERVER}:8585", {"addresses": [{"bind": SERVER}]}
        config = {
            "server": {"listen": listen, "url": f"http://{listen}", "cors_origins": ["*"]},
            "plugins": {"transport_udp": media, "transport_tcp": media},
        }
        with running_server(folder, within=self.server.entered, **merge(config, tables)) as server:
            yield server

    def _build(self) -> None:
        middle = self.host("internet")
        self.server = self._at(middle, "server", f"{SERVER}/28", f"{SERVER_6}/64")
        self.turn = self._at(middle, "turn", f"{TURN}/28")
        self.home = self._at(middle, "home", f"{HOME}/28", f"{HOME_6}/64")
        self.train = self.host("train")
        self.wireless = self.connect_badly(self.train, middle, f"{TRAIN}/28")
        self.six = self._at(middle, "six", f"{SIX}/64")
        self.limit_packets(self.six, middle, 1280)  # what every IPv6 link carries, and many tunnels no more
        self.gate = self._at(middle, "gate", f"{GATE}/28")
        self.office = self._at(self.gate, "office", f"{OFFICE}/24")
        self.border = self._at(middle, "border", f"{BORDER}/28")
        self.cloud = self._at(self.border, "cloud", f"{CLOUD}/24")
        self.desk = self._at(self.border, "desk", f"{DESK}/24")
        self.gate.translate(NAT_PORTS)
        self.border.map_one_to_one(outside=BORDER, inside=CLOUD)

    def _at(self, outer: Host, name: str, *addresses: str) -> Host:
        host = self.host(name)
        self.connect(host, outer, *addresses)
        return host
