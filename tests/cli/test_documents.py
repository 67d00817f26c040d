"""``--json`` prints what the HTTP API returns."""

import json
from typing import Any

import pytest

from orchestrator import settings
from orchestrator.bootstrap import Application
from tests.cli.support import CommandLine
from tests.fakes import FakeRuns
from tests.web.support import Site


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (("status",), "status"),
        (("show", "2"), "entries/2"),
        (("show", "4", "--parameters"), "entries/4?parameters=true"),
        (("show", "6"), "entries/6"),
        (("list", "--limit", "4"), "entries?limit=4"),
    ],
)
async def test_command_line_and_api_give_the_same_json(
    full_cli: CommandLine, history: CommandLine, command: tuple[str, ...], path: str
) -> None:
    full_cli.environment["DATABRICKS_JOB_ID"] = "7"
    history.execute(
        "INSERT INTO orchestrator_tick (name, started_at, finished_at, outcome)"
        " VALUES ('trigger', '2026-01-31 06:00:00', NULL, NULL)"
    )
    printed = json.loads(full_cli(*command, "--json").stdout)
    database = full_cli.folder / "state.db"
    app = Application(settings.load({**full_cli.environment, "STATE_DB": str(database)}))
    try:
        _, returned = await Site(app=app, runs=FakeRuns(), database=database).call("GET", path)
    finally:
        await app.close()
    assert without_clock(printed) == without_clock(returned)


def without_clock(document: dict[str, Any]) -> dict[str, Any]:
    """Set the values aside that differ between two moments."""
    if "workspaces" not in document:
        return document
    workspaces = [
        {**each, "oldest_waiting_seconds": each["oldest_waiting_seconds"] > 0}
        for each in document["workspaces"]
    ]
    return {**document, "workspaces": workspaces, "now": len(document["now"])}
