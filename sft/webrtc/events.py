"""What a peer tells its owner (``Peer.events()``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from sft.model import Address, SrtpParameters

if TYPE_CHECKING:
    from sft.plugin.interfaces import Base


@attrs.frozen
class PathSelected:
    """Media goes there from now on; again whenever the peer nominates another path."""

    base: Base
    address: Address


@attrs.frozen
class Connected:
    """The handshake is done and the certificate is the one of the SDP answer. Once."""

    srtp: SrtpParameters


@attrs.frozen
class ChannelOpen:
    """The data channel carries messages. Once."""


@attrs.frozen
class Message:
    """One text message from the data channel."""

    text: str


@attrs.frozen
class Closed:
    """The connection ended, not by our ``close()``. Once, and the last event."""

    reason: str


PeerEvent: TypeAlias = PathSelected | Connected | ChannelOpen | Message | Closed
