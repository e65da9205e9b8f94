"""A worker's UDP ports: its slice of the range, handed out and taken back."""

from __future__ import annotations

import errno
import resource
import socket
from collections import deque
from collections.abc import Iterator

from sft.plugin import Finding, PortsExhausted, Receive, Services, TransportError, TransportStats
from sft_transport_udp.config import UdpConfig
from sft_transport_udp.sockets import bind_udp, set_buffer
from sft_transport_udp.transport import UdpTransport

DESCRIPTORS_BESIDES = 256
"""File descriptors of a worker that are not ours."""


class UdpFactory:
    """Implements :class:`sft.plugin.TransportFactory`."""

    name = "udp"

    def __init__(self, config: UdpConfig, services: Services) -> None:
        self._config = config
        self._services = services
        self._addresses = config.resolved()
        self._binds = tuple(dict.fromkeys(address.bind for address in self._addresses))
        self._ports = config.slice_of(services.worker, services.workers)
        self._free = deque(self._ports)  # taken at the left, given back at the right: a long rest for each
        self._open: set[UdpTransport] = set()
        self._drops_of_closed = 0
        self._short_buffer_logged = False

    def open(self, receive: Receive) -> UdpTransport:
        """Ports that another program holds are passed over; they stay candidates for later."""
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                sockets = self._bind(port)
            except OSError as error:
                self._free.append(port)
                if error.errno == errno.EADDRINUSE:
                    continue
                raise TransportError(f"port {port} on {', '.join(self._binds)}: {error.strerror}") from error
            transport = UdpTransport(port, sockets, self._addresses, receive, self._services, self._on_close)
            self._open.add(transport)
            return transport
        raise PortsExhausted(f"all of {len(self._ports)} UDP ports are in use")

    def stats(self) -> TransportStats:
        return TransportStats(
            ports_total=len(self._ports),
            ports_free=len(self._free),
            kernel_drops=self._drops_of_closed + sum(one.kernel_drops() for one in self._open),
        )

    def check(self) -> list[Finding]:
        return list(self._findings())

    def close(self) -> None:
        for transport in list(self._open):
            transport.close()

    def _bind(self, port: int) -> list[socket.socket]:
        sockets: list[socket.socket] = []
        try:
            for address in self._binds:
                bound = bind_udp(address, port)
                sockets.append(bound)
                self._set_buffers(bound)
        except BaseException:
            for bound in sockets:
                bound.close()
            raise
        return sockets

    def _set_buffers(self, bound: socket.socket) -> None:
        for name, option, wanted in self._buffers():
            granted = set_buffer(bound, option, wanted)
            if granted < wanted and not self._short_buffer_logged:
                self._short_buffer_logged = True
                self._services.log("transport_udp.short_buffer", key=name, wanted=wanted, granted=granted)

    def _buffers(self) -> tuple[tuple[str, int, int], ...]:
        return (
            ("receive_buffer", socket.SO_RCVBUF, self._config.receive_buffer),
            ("send_buffer", socket.SO_SNDBUF, self._config.send_buffer),
        )

    def _on_close(self, transport: UdpTransport) -> None:
        self._open.discard(transport)
        self._drops_of_closed += transport.kernel_drops()
        self._free.append(transport.port)

    def _findings(self) -> Iterator[Finding]:
        for address in self._addresses:
            yield _check_address(address.bind, address.advertised)
        yield self._check_ports()
        yield self._check_descriptors()
        yield from self._check_buffers()

    def _check_ports(self) -> Finding:
        """Every port is tried."""
        taken = []
        for port in self._free:
            try:
                for bound in self._bind(port):
                    bound.close()
            except OSError:
                taken.append(port)
        span = f"{self._ports[0]}-{self._ports[-1]}" if self._ports else "empty"
        if not taken:
            return Finding(bool(self._ports), "port range", f"{span}: all free")
        return Finding(False, "port range", f"{span}: {len(taken)} cannot be bound, the first is {taken[0]}")

    def _check_descriptors(self) -> Finding:
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        needed = len(self._ports) * len(self._binds) + DESCRIPTORS_BESIDES
        enough = limit == resource.RLIM_INFINITY or limit >= needed
        return Finding(enough, "file descriptors", f"limit {limit}; the port range needs {needed}")

    def _check_buffers(self) -> Iterator[Finding]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            for name, option, wanted in self._buffers():
                granted = set_buffer(probe, option, wanted)
                limit = "rmem_max" if option == socket.SO_RCVBUF else "wmem_max"
                hint = "" if granted >= wanted else f"; raise the sysctl net.core.{limit}"
                yield Finding(granted >= wanted, name, f"wanted {wanted}, granted {granted}{hint}")


def _check_address(bind: str, advertised: str) -> Finding:
    detail = bind if bind == advertised else f"{bind}, advertised as {advertised}"
    try:
        bind_udp(bind, 0).close()
    except OSError as error:
        return Finding(False, "address", f"{detail}: {error.strerror}")
    return Finding(True, "address", detail)
