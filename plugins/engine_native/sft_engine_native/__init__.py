"""The packet path of sft-server in C, a prototype: ``[plugins] modules = ["sft_engine_native"]``."""

from __future__ import annotations

from sft import hookimpl
from sft.plugin import Config, Engine, Services
from sft_engine_native.engine import NativeEngine

__all__ = ["NativeEngine", "sft_engine"]


@hookimpl
def sft_engine(config: Config, services: Services) -> Engine:
    return NativeEngine(services.drops)
