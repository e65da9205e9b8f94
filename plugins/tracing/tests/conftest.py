from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sft.plugin import JoinRecord, ParticipantId, PathKind, PhaseRecord


@pytest.fixture
def make_join() -> Callable[..., JoinRecord]:
    """A join that took a second; keywords are fields of the record."""

    def make(**fields: Any) -> JoinRecord:
        phases = tuple(PhaseRecord(phase=name, began=100.0, ended=100.5) for name in ("offer", "http", "ice"))
        return JoinRecord(
            **{
                "call": "c" * 32,
                "participant": ParticipantId("u" * 64, "client"),
                "outcome": "established",
                "began": 100.0,
                "ended": 101.0,
                "phases": phases,
                "path": PathKind("udp", "host", "srflx"),
                "worker": 3,
                **fields,
            }
        )

    return make
