"""What plugin authors need, in one place: interfaces, values, configuration.

::

    from sft import hookimpl
    from sft.plugin import Config, Services, Transport, TransportFactory
"""

from __future__ import annotations

from sft.config import Config
from sft.errors import BadPacket, ConfigError, PluginError, PortsExhausted, TransportError
from sft.model import (
    Address,
    Candidate,
    Drop,
    DtlsIdentity,
    EnvelopeVerdict,
    ParticipantId,
    RosterEntry,
    SrtpParameters,
    WorkerLoad,
)
from sft.plugin.addresses import default_addresses
from sft.plugin.interfaces import (
    ActiveTransport,
    Base,
    CommonServices,
    Engine,
    EngineSlot,
    Finding,
    GatewayServices,
    Outlet,
    Receive,
    Services,
    Transport,
    TransportFactory,
    TransportStats,
)
from sft.plugin.nursery import PluginNursery
from sft.plugin.values import (
    AuthRequest,
    CallSnapshot,
    DrainState,
    HttpRoutes,
    ParticipantSnapshot,
    PlacementRequest,
    Snapshot,
    Verdict,
)
from sft.signalling.messages import Status

__all__ = [
    "ActiveTransport",
    "Address",
    "AuthRequest",
    "BadPacket",
    "Base",
    "CallSnapshot",
    "Candidate",
    "CommonServices",
    "Config",
    "ConfigError",
    "DrainState",
    "Drop",
    "DtlsIdentity",
    "Engine",
    "EngineSlot",
    "EnvelopeVerdict",
    "Finding",
    "GatewayServices",
    "HttpRoutes",
    "Outlet",
    "ParticipantId",
    "ParticipantSnapshot",
    "PlacementRequest",
    "PluginError",
    "PluginNursery",
    "PortsExhausted",
    "Receive",
    "RosterEntry",
    "Services",
    "Snapshot",
    "SrtpParameters",
    "Status",
    "Transport",
    "TransportError",
    "TransportFactory",
    "TransportStats",
    "Verdict",
    "WorkerLoad",
    "default_addresses",
]
