"""The log as ``[log]`` wants it. Call once per process, before anything is logged."""

from __future__ import annotations

import contextlib
import logging
import sys
from functools import partial
from typing import TextIO

import structlog
from structlog.types import Processor

from sft.config.tables import LogConfig


class _LossyFile:
    """Takes what ``file`` does not: a server goes on without its log when the disk is full, or whoever read
    the log is gone."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()


class _NamedLogger(structlog.WriteLogger):
    """Writes lines to ``file``; ``structlog.get_logger("gateway")`` names it."""

    def __init__(self, file: _LossyFile, name: str = "sft") -> None:
        super().__init__(file)  # type: ignore[arg-type]  # it uses no more of a TextIO than these two
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
        logger_factory=partial(_NamedLogger, _LossyFile(sys.stderr)),
        cache_logger_on_first_use=True,
    )
