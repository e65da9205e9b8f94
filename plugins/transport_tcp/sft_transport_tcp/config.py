"""The table ``[plugins.transport_tcp]``."""

from __future__ import annotations

import attrs
from attrs.validators import ge

from sft.plugin import PortsConfig


@attrs.frozen
class TcpConfig(PortsConfig):
    """The TCP transport.

    ports: range of TCP ports: one per worker, the first for the first worker, the next for the second
    shared: `false`: one port per participant instead; workers share the range evenly
    capacity: with `shared`, how many participants a port takes
    addresses: as in `[plugins.transport_udp]`
    pending: connections of a port that have not proven yet whose they are; the oldest makes room
    pending_per_address: such connections of one IP address, or one IPv6 network of 64 bits
    queue_bytes: media that waits for a slow reader, per connection; the oldest makes room
    """

    shared: bool = True
    pending: int = attrs.field(default=512, validator=ge(1))
    pending_per_address: int = attrs.field(default=64, validator=ge(1))
    queue_bytes: int = attrs.field(default=65536, validator=ge(4096))
