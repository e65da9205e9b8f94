from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from sft.model import Candidate
from sft.signalling.offer import OfferParameters

DATA = Path(__file__).parent / "data"


@attrs.frozen
class Slot:
    mid: str
    ssrc: int
    label: str


@pytest.fixture(scope="session")
def data() -> Path:
    """Messages of the protocol document and of a real call, and answers of the real Wire client."""
    return DATA


@pytest.fixture(scope="session")
def make_parameters() -> Callable[..., OfferParameters]:
    """Offer parameters by number of slots; anything else by keyword."""

    def make(audio: int = 5, video: int = 9, **changes: Any) -> OfferParameters:
        values: dict[str, Any] = {
            "session_id": 2718281828,
            "session_version": 1414213562,
            "host": "203.0.113.5",
            "ufrag": "k3T9wQz1LmN0pXy",
            "pwd": "Zb7Qe2Rt9Yu4Io1Pa6Sd3Fg8Hj5Kl0X",
            "fingerprint": ":".join(["0A"] * 32),
            "candidates": (Candidate("3d7c0a11", "udp", 2113995519, "203.0.113.5", 41234),),
            "lite": True,
            "simulcast": True,
            "audio_slots": [
                Slot(str(i), 50000 + i, f"11111111-aaaa-4bbb-8ccc-{i:012}") for i in range(1, audio + 1)
            ],
            "video_slots": [
                Slot(str(audio + i), 60000 + i, f"22222222-aaaa-4bbb-8ccc-{i:012}")
                for i in range(1, video + 1)
            ],
            "rtcp_ssrc": 77001,
            "rtcp_label": "33333333-aaaa-4bbb-8ccc-000000000001",
        }
        return OfferParameters(**{**values, **changes})

    return make
