"""Each event is one readable log line, with its facts as fields."""

import logging
from typing import Any

import pytest

from orchestrator.core.errors import NoCapacity, RequestRefused, WorkspaceUnavailable
from orchestrator.core.telemetry import fields
from tests.use_cases.conftest import world
from tests.world import World

__all__ = ["world"]

REFUSED = RequestRefused("no such job", status=400, error_code="X", permanent=True)


@pytest.fixture(autouse=True)
def _every_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="orchestrator")


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[dict[str, Any]]:
    """Return the fields, and the message, of the lines of one kind of event."""
    return [
        {**vars(record), "text": record.getMessage()}
        for record in caplog.records
        if getattr(record, "event", None) == name
    ]


async def test_life_of_an_entry(world: World, caplog: pytest.LogCaptureFixture) -> None:
    entry = await world.running("sales")
    assert entry.runid is not None
    [claimed] = events(caplog, "claimed")
    assert (claimed["entry_id"], claimed["workspace"], claimed["submission"]) == (entry.id, "default", 1)
    [submitted] = events(caplog, "submitted")
    assert submitted["text"] == f"entry {entry.id}: submission 1 is run {entry.runid}"
    assert {name: submitted[name] for name in ("entry_id", "table_name", "workspace", "run_id")} == {
        "entry_id": entry.id,
        "table_name": "sales",
        "workspace": "default",
        "run_id": entry.runid,
    }
    assert submitted["submit_seconds"] >= 0
    assert submitted["queue_seconds"] >= 0
    world.databricks.end(entry.runid, "SUCCESS")
    await world.monitor()
    [finished] = events(caplog, "finished")
    assert (finished["status"], finished["attempt"], finished["run_id"]) == ("DONE", 1, entry.runid)


@pytest.mark.parametrize(
    ("error", "event", "status"),
    [
        (REFUSED, "refused", "DEAD"),
        (NoCapacity("full", status=429, error_code="QUOTA_EXCEEDED"), "postponed", None),
        (WorkspaceUnavailable("no answer"), "postponed", None),
    ],
)
async def test_submission_that_fails(
    world: World, caplog: pytest.LogCaptureFixture, error: Exception, event: str, status: str | None
) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.errors = [error]  # type: ignore[list-item] # all of them are DatabricksErrors
    await world.deliver()
    [found] = events(caplog, event)
    assert (found["entry_id"], found["table_name"], found.get("status")) == (entry_id, "sales", status)


async def test_cancellation(world: World, caplog: pytest.LogCaptureFixture) -> None:
    entry = await world.running("sales")
    [waiting] = await world.add("orders")
    for entry_id in (entry.id, waiting):
        assert await world.cancel(entry_id)
    await world.monitor()
    await world.monitor()
    assert [event.get("entry_id") for event in events(caplog, "canceled")] == [None, entry.id]
    assert events(caplog, "canceled")[0]["entries"] == 1


def test_what_is_not_known_is_left_out() -> None:
    assert fields("pass", function="trigger", outcome=None) == {"event": "pass", "function": "trigger"}
