"""The log as ``[log]`` wants it. Call once per process, before anything is logged."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.types import Processor

from sft.config.tables import LogConfig


class _NamedLogger(structlog.WriteLogger):
    """Writes lines to standard error; ``structlog.get_logger("gateway")`` names it."""

    def __init__(self, name: str = "sft") -> None:
        super().__init__(sys.stderr)
        self.name = name


def configure_logging(config: LogConfig) -> None:
    """Have structlog write to standard error. Stack traces come without the values of local
    variables: those may be credentials."""
    renderers: list[Processor]
    if config.format == "json":
        renderers = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        colors = sys.stderr.isatty()
        plain = structlog.dev.plain_traceback
        renderers = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(config.level.upper())),
        logger_factory=_NamedLogger,
        cache_logger_on_first_use=True,
    )
