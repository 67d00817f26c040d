"""docs/alerts.md names what the app really uses and shows a real message."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.core.alerts import Alert, DeadEntries, DeadEntry, Kind, _as_json
from orchestrator.web.routes import ROUTES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")


def test_probe_uses_the_key_of_the_health_function() -> None:
    [health] = [route.name for route in ROUTES if route.path == "health"]
    assert set(re.findall(r"--function-name (\S+)", DOCUMENT)) == {health}


def test_example_of_a_message() -> None:
    [example] = re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)
    shown = json.loads(example.replace(", …]", "]"))
    row = DeadEntry(id=17, table_name="sales", workspace="default", error="no such job")
    alert = Alert(kind=Kind.DEAD, dead=DeadEntries(count=2, shown=[row]))
    made = _as_json(alert, datetime(2026, 1, 31, 4, 5, 6, tzinfo=UTC))
    assert {**made, "text": ""} == {**shown, "text": ""}
