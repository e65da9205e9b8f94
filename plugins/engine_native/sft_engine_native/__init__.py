"""The fan-out of sft-server in C, a prototype: ``[plugins] modules = ["sft_engine_native"]``."""

from __future__ import annotations

from sft import hookimpl
from sft.plugin import Config, Engine, Services
from sft_engine_native.engine import NativeEngine

__all__ = ["NativeEngine", "sft_engine"]


@hookimpl
def sft_engine(config: Config, services: Services) -> Engine:
    # A timer that is due fires when the descriptors of a turn have been served.
    return NativeEngine(services.drops, lambda flush: services.call_at(0.0, lambda now: flush()))
