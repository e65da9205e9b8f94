"""deploy/: rules and dashboard can be used, name series that exist, and are documented."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from support.metrics import promtool

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = (PROMETHEUS / "alerts.yml").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "sft.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]
OF_PROMETHEUS = {"process_open_fds", "process_max_fds", "process_start_time_seconds"}


def test_the_alert_rules_are_rules() -> None:
    code, lines = promtool("check", "rules", PROMETHEUS / "alerts.yml")
    assert code == 0, lines


def test_each_alert_fires_when_it_should_and_not_at_a_healthy_server() -> None:
    code, lines = promtool("test", "rules", PROMETHEUS / "alerts_test.yml")
    assert code == 0, lines


def test_each_alert_has_a_test_a_reason_and_a_page() -> None:
    alerts = re.findall(r"- alert: (\w+)", RULES)
    tests = (PROMETHEUS / "alerts_test.yml").read_text()
    assert set(re.findall(r"- alertname: (\w+)", tests)) == set(alerts), "one that fires"
    assert set(re.findall(r"- { alertname: (\w+)", tests)) == set(alerts), "one that does not"
    table = OPERATIONS.partition("\n### Alerts\n")[2].partition("\n#")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == alerts
    assert RULES.count("runbook: docs/operations.md#alerts") == len(alerts)


@pytest.mark.parametrize("expressions", [[RULES], EXPRESSIONS], ids=["alerts", "dashboard"])
def test_only_series_that_exist_are_asked_for(expressions: list[str]) -> None:
    documented = set(re.findall(r"^\| `(sft_\w+)` \|", OPERATIONS, re.MULTILINE))
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for text in expressions
        for name in re.findall(r"\b(?:sft|process)_\w+", text)
    }
    assert asked - OF_PROMETHEUS <= documented


def test_the_dashboard_shows_all_there_is() -> None:
    documented = set(re.findall(r"^\| `(sft_\w+)` \|", OPERATIONS, re.MULTILINE))
    shown = " ".join(EXPRESSIONS)
    only_numbers = {
        "sft_build_info",
        "sft_uptime",
        "sft_draining",
        "sft_participants_total",
        "sft_calls_total",
    }
    assert {name for name in documented if name not in shown} == only_numbers | {"sft_paths_left_total"}


def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{index}", "expr": expression.replace("$__rate_interval", "5m")}
        for index, expression in enumerate(EXPRESSIONS)
    ]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    code, lines = promtool("check", "rules", file)
    assert code == 0, lines


def test_the_panels_of_the_dashboard_have_a_place_of_their_own() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert all(panel["title"] and panel["targets"] for panel in PANELS)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in PANELS)
