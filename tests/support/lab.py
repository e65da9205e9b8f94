"""Hosts of the tests' own: network namespaces joined by veth pairs, with routes, NAT and firewalls.

::

    with Lab() as lab:
        internet, server, gate, ann, bob = map(lab.host, ("internet", "server", "gate", "ann", "bob"))
        lab.connect(server, internet, "203.0.113.2/24", "2001:db8:1::2/64")
        lab.connect(gate, internet, "192.0.2.2/24")
        lab.connect(ann, gate, "10.0.0.2/24")
        gate.translate("20000-29999")
        gate.forward_only("udp dport 3478")
        wifi = lab.connect_badly(bob, internet, "198.51.100.2/24")
        wifi.set_both(loss=0.05, delay=0.1)
        with running_server(folder, within=server.entered), Browser(within=ann.command): ...

What a host reaches, it reaches by the host it was connected to, which forwards. Traffic never leaves the
machine: there is no way from a namespace to the rest of it. Needs root.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_interface
from pathlib import Path
from types import TracebackType

import pytest

from support.bad_link import BadLink

UPLINK = "uplink"
"""A host's interface towards the host it was connected to. That one's end has the name of the host."""

_PREFIX = "sft"
_CLONE_NEWNET = 0x40000000
_count = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


def require_lab() -> None:
    """Skips the test where no namespaces can be made, except in continuous integration."""
    missing = [name for name in ("ip", "nft", "conntrack") if shutil.which(name) is None]
    if os.geteuid() != 0:
        missing.append("root")
    if not os.path.exists("/dev/net/tun"):
        missing.append("/dev/net/tun")
    if missing:
        text = f"tests in network namespaces need {', '.join(missing)}"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)


class Host:
    """One network namespace; made by :meth:`Lab.host`."""

    def __init__(self, name: str, namespace: str) -> None:
        self.name = name
        self.namespace = namespace

    @property
    def command(self) -> tuple[str, ...]:
        """What to put before a command that is to run on this host."""
        return ("ip", "netns", "exec", self.namespace)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """What this thread opens inside the block belongs to the host for good: sockets, child processes,
        and threads, so start none that others will use (trio keeps its worker threads)."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            with open(f"/run/netns/{self.namespace}") as namespace:
                _enter(namespace.fileno())
            yield
        finally:
            _enter(before)
            os.close(before)

    def run(self, *command: str, text: str | None = None) -> str:
        """Run a command on this host to its end, ``text`` being its input. Gives its output."""
        return _run(*self.command, *command, text=text)

    def set(self, key: str, value: int | str) -> None:
        """A sysctl below ``net.``, e.g. ``ipv4.ip_forward``."""
        with self.entered():
            Path("/proc/sys/net", *key.split(".")).write_text(str(value))

    def translate(self, ports: str = "") -> None:
        """A NAT: connections to the uplink get its IPv4 address and one of these ports, each another one;
        without ports they keep their own, as behind most routers at home.

        Calling it again changes the ports of new connections; :meth:`forget_connections` makes all new.
        """
        to = f"to :{ports}" if ports else ""
        self._load(
            "translation",
            "ip",
            f"""chain out {{ type nat hook postrouting priority 100
                oifname {UPLINK} meta l4proto {{ tcp, udp }} masquerade {to}
            }}""",
        )

    def map_one_to_one(self, outside: str, inside: str) -> None:
        """A NAT that gives one inner host the whole of an address of the uplink."""
        self._load(
            "mapping",
            "ip",
            f"""chain in {{ type nat hook prerouting priority -100
                ip daddr {outside} dnat to {inside}
            }}
            chain out {{ type nat hook postrouting priority 100
                oifname {UPLINK} ip saddr {inside} snat to {outside}
            }}""",
        )

    def forward_only(self, *matches: str) -> None:
        """A firewall: what is forwarded has to match one of these nft expressions, or to belong to what did;
        the rest is dropped without a word. Without any nothing is forwarded. Replaces earlier rules."""
        rules = "\n".join(f"{match} accept" for match in ("icmpv6 type != echo-request", *matches))
        self._load(
            "firewall",
            "inet",
            f"""chain forward {{ type filter hook forward priority 0; policy drop
                ct state established,related accept
                {rules}
            }}""",
        )
        self.forget_connections()

    def forward_all(self) -> None:
        """No firewall any more."""
        self._load("firewall", "inet", "")

    def forget_connections(self) -> None:
        """Of NAT and firewall: the next packet of each is a new connection's."""
        self.run("conntrack", "-F")

    def _load(self, table: str, family: str, chains: str) -> None:
        """Replace one table of nft in one step."""
        name = f"table {family} {table}"
        self.run("nft", "-f", "-", text=f"{name}\ndelete {name}\n{name} {{\n{chains}\n}}\n")


class Lab:
    """Makes hosts, and takes them away with all they run at the end of the ``with`` block."""

    def __init__(self) -> None:
        require_lab()
        _remove_what_others_left()
        self._name = f"{_PREFIX}{os.getpid()}-{next(_count)}"
        self.hosts: dict[str, Host] = {}
        self._links: list[BadLink] = []

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._links:
            link.close()
        for host in self.hosts.values():
            _remove(host.namespace)

    def host(self, name: str) -> Host:
        """A new host with nothing but loopback. ``name``: up to 15 characters."""
        host = self.hosts[name] = Host(name, f"{self._name}-{name}")
        _run("ip", "netns", "add", host.namespace)
        _run("ip", "-n", host.namespace, "link", "set", "dev", "lo", "up")
        return host

    def connect(self, inner: Host, outer: Host, *addresses: str, uplink: str = UPLINK) -> None:
        """Lay a cable. ``addresses``: the inner host's with their networks' lengths, IPv4, IPv6 or both;
        the outer host gets the first of each network, forwards, and is the way to everywhere."""
        end = ("netns", inner.namespace, "name", uplink)
        _run("ip", "link", "add", *end, "type", "veth", "peer", inner.name, "netns", outer.namespace)
        self._set_up(inner, outer, addresses, uplink)

    def connect_badly(self, inner: Host, outer: Host, *addresses: str, seed: str = "impair") -> BadLink:
        """As :meth:`connect`, by a link whose loss, delay, jitter, rate and cuts the test sets."""
        link = BadLink(f"{inner.namespace}:{UPLINK}", f"{outer.namespace}:{inner.name}", seed)
        self._links.append(link)
        self._set_up(inner, outer, addresses, UPLINK)
        return link

    def _set_up(self, inner: Host, outer: Host, addresses: Sequence[str], uplink: str) -> None:
        for host, interface in ((inner, uplink), (outer, inner.name)):
            host.set(f"ipv6.conf.{interface}.accept_ra", 0)
            host.set(f"ipv6.conf.{interface}.accept_dad", 0)  # addresses are usable at once
            _run("ip", "-n", host.namespace, "link", "set", "dev", interface, "up")
        for text in addresses:
            own = ip_interface(text)
            gateway = own.network[1]
            for host, interface, address in (
                (inner, uplink, text),
                (outer, inner.name, f"{gateway}/{own.network.prefixlen}"),
            ):
                _run("ip", "-n", host.namespace, "address", "add", address, "dev", interface)
            if uplink == UPLINK:
                family = f"-{own.version}"
                _run("ip", family, "-n", inner.namespace, "route", "add", "default", "via", str(gateway))
        outer.set("ipv4.ip_forward", 1)
        outer.set("ipv6.conf.all.forwarding", 1)

    @staticmethod
    def limit_packets(inner: Host, outer: Host, size: int) -> None:
        """The MTU of the cable between two hosts, in bytes."""
        for host, interface in ((inner, UPLINK), (outer, inner.name)):
            _run("ip", "-n", host.namespace, "link", "set", "dev", interface, "mtu", str(size))

    @staticmethod
    def route(outer: Host, network: str, via: str) -> None:
        """Tell a host behind which neighbour a network lies."""
        family = f"-{ip_interface(network).version}"
        _run("ip", family, "-n", outer.namespace, "route", "add", network, "via", via)


def _enter(namespace: int) -> None:
    """Move this thread; ``os.setns`` comes with Python 3.12."""
    if _libc.setns(namespace, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{text or ''}"
    return done.stdout


def _remove(namespace: str) -> None:
    """And end whatever still runs in it: a namespace lives as long as its processes."""
    for pid in _run("ip", "netns", "pids", namespace).split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended meanwhile
    _run("ip", "netns", "del", namespace)


def _remove_what_others_left() -> None:
    """Namespaces of tests that were killed: they have the number of a process that is no more."""
    for line in _run("ip", "netns", "list").splitlines():
        namespace = line.split()[0]
        found = re.match(rf"{_PREFIX}(\d+)-\d+-", namespace)
        if found and not Path("/proc", found[1]).exists():
            _remove(namespace)
