from __future__ import annotations

import re
from pathlib import Path

from sft.model import Drop

PAGE = Path(__file__).parents[1] / "docs" / "drops.md"
ROW = re.compile(r"^\| `(\w+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def test_every_reason_for_a_drop_is_documented_and_none_that_does_not_exist() -> None:
    rows = ROW.findall(PAGE.read_text())
    assert [name for name, _, _ in rows] == [reason.value for reason in Drop]
    assert all(len(what) > 10 and len(advice) > 5 for _, what, advice in rows)
