"""What plugin authors need, in one place: interfaces, values, configuration.

::

    from sft import hookimpl
    from sft.plugin import Config, Services, Transport, TransportFactory
"""

from __future__ import annotations

from sft.config import Config
from sft.errors import BadPacket, ConfigError, PluginError, PortsExhausted, TransportError
from sft.histogram import Distribution
from sft.model import (
    Address,
    Candidate,
    Drop,
    Drops,
    DtlsIdentity,
    EnvelopeVerdict,
    JoinRecord,
    ParticipantId,
    PathKind,
    PhaseRecord,
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
    OnReadable,
    Outlet,
    ReadableBase,
    ReadingEngine,
    Receive,
    SegmentsBase,
    Services,
    Transport,
    TransportFactory,
    TransportStats,
    Wait,
)
from sft.plugin.nursery import PluginNursery
from sft.plugin.port_checks import check_addresses, check_descriptors, check_ports
from sft.plugin.ports import BindAddress, PortPool, PortsConfig, host_candidate, parse_ports
from sft.plugin.values import (
    AuthRequest,
    CallSnapshot,
    DrainState,
    HttpRoutes,
    InstanceSnapshot,
    ParticipantSnapshot,
    PathTotal,
    PlacementRequest,
    QualitySnapshot,
    RepairSnapshot,
    Snapshot,
    Traffic,
    Verdict,
)
from sft.signalling.messages import Status
from sft.webrtc.srtp import outbound_session

__all__ = [
    "ActiveTransport",
    "Address",
    "AuthRequest",
    "BadPacket",
    "Base",
    "BindAddress",
    "CallSnapshot",
    "Candidate",
    "CommonServices",
    "Config",
    "ConfigError",
    "Distribution",
    "DrainState",
    "Drop",
    "Drops",
    "DtlsIdentity",
    "Engine",
    "EngineSlot",
    "EnvelopeVerdict",
    "Finding",
    "GatewayServices",
    "HttpRoutes",
    "InstanceSnapshot",
    "JoinRecord",
    "OnReadable",
    "Outlet",
    "ParticipantId",
    "ParticipantSnapshot",
    "PathKind",
    "PathTotal",
    "PhaseRecord",
    "PlacementRequest",
    "PluginError",
    "PluginNursery",
    "PortPool",
    "PortsConfig",
    "PortsExhausted",
    "QualitySnapshot",
    "ReadableBase",
    "ReadingEngine",
    "Receive",
    "RepairSnapshot",
    "RosterEntry",
    "SegmentsBase",
    "Services",
    "Snapshot",
    "SrtpParameters",
    "Status",
    "Traffic",
    "Transport",
    "TransportError",
    "TransportFactory",
    "TransportStats",
    "Verdict",
    "Wait",
    "WorkerLoad",
    "check_addresses",
    "check_descriptors",
    "check_ports",
    "default_addresses",
    "host_candidate",
    "outbound_session",
    "parse_ports",
]
