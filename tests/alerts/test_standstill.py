"""Nothing begins in a workspace: people hear why, once, and once more when it goes on."""

import asyncio
from dataclasses import replace

import pytest

from orchestrator.core import refused_jobs
from orchestrator.core.alerts import name_of_workspace
from orchestrator.core.models import JobKey
from tests.alerts.conftest import Desk
from tests.world import workspace

REFUSED = (
    "INSERT INTO track_processing (table_name, workspace, doubts, last_error, available_at, updated_at)"
    " VALUES (?, ?, ?, 'run-now: HTTP 400: Job 5 does not exist.', utc_now(), utc_now())"
)


async def refuse(desk: Desk, name: str = "default") -> None:
    """Let an entry keep that the job of its workspace's setting is refused."""
    now = await desk.store.now()
    setting = desk.workspaces[name].setting
    mark = refused_jobs.Mark(
        entry_id=1,
        job=JobKey(),
        what=setting,
        heard_by=1,
        since=now,
        first_at=now,
        heard_at=now,
    )
    desk.execute(REFUSED, "sales", name, mark.kept())


def titles(desk: Desk) -> list[str]:
    return [alert["title"] for alert in desk.receiver.taken]


async def test_a_refused_job_of_the_settings_is_told_once_and_its_end_as_well(desk: Desk) -> None:
    await refuse(desk)
    for _ in range(3):
        await desk.make_pass("trigger")
        await desk.make_pass("monitor")
    assert titles(desk) == ["workspace default: nothing begins"]
    [alert] = desk.receiver.taken
    assert alert["kind"] == "stuck"
    assert "the job that the settings name is refused: 1 entry" in alert["text"]
    assert "Job 5 does not exist" in alert["text"]
    assert alert["passes"][0]["name"] == "workspace default"
    assert "Job 5 does not exist" in alert["passes"][0]["reason"]
    desk.execute("UPDATE track_processing SET status = 'CANCELED', doubts = NULL")
    for _ in range(3):
        await desk.make_pass("trigger")
    assert titles(desk)[1:] == ["workspace default: recovered"]
    assert "workspace default: goes on again; nothing had begun since" in desk.receiver.taken[1]["text"]
    await refuse(desk)
    await desk.make_pass("trigger")
    assert titles(desk)[2:] == ["workspace default: nothing begins"], "the next one is an event of its own"


async def test_two_passes_at_once_tell_it_once(desk: Desk) -> None:
    await refuse(desk)
    passes = [await desk.begin(name) for name in ("trigger", "monitor")]
    await asyncio.gather(*(each.end() for each in passes))
    assert titles(desk) == ["workspace default: nothing begins"]


async def test_what_did_not_arrive_is_told_by_the_next_pass(desk: Desk) -> None:
    await refuse(desk)
    desk.receiver.answers = [503]
    await desk.make_pass("trigger")
    assert titles(desk) == []
    await desk.make_pass("trigger")
    assert titles(desk) == ["workspace default: nothing begins"]


async def test_a_silent_workspace_is_told_after_five_minutes(desk: Desk) -> None:
    desk.workspaces = {"default": workspace(), "eu": workspace("eu")}
    for seconds in (0, 120, 120, 30):
        desk.pass_time(seconds)
        await desk.store.note_silence("eu", "runs/list: no answer")
        await desk.make_pass("trigger")
        assert titles(desk) == []
    desk.pass_time(60)
    await desk.make_pass("trigger")
    assert titles(desk) == ["workspace eu: nothing begins"]
    assert "has not answered since" in desk.receiver.taken[0]["text"]
    await desk.store.note_answer("eu")
    await desk.make_pass("trigger")
    assert titles(desk)[1:] == ["workspace eu: recovered"]


async def test_a_workspace_that_is_elsewhere_is_told(desk: Desk) -> None:
    desk.workspaces = {"default": replace(workspace(), address="https://new.example")}
    desk.execute(
        "INSERT INTO track_processing (table_name, status, submission, runid, last_runid, workspace_address)"
        " VALUES ('sales', 'RUNNING', 1, 7, 7, 'https://old.example')"
    )
    await desk.make_pass("trigger")
    assert titles(desk) == ["workspace default: nothing begins"]
    assert "https://old.example" in desk.receiver.taken[0]["text"]


@pytest.mark.parametrize("name", ["default", "a" * 22, "a" * 23, "ä" * 300, "two\nlines"])
def test_a_name_fits_into_its_column(name: str) -> None:
    shown = name_of_workspace(name)
    assert len(shown) <= 32
    assert "\n" not in shown
    assert name_of_workspace(name + "!") != shown


async def test_another_app_s_workspace_is_not_said_to_go_on(desk: Desk) -> None:
    await refuse(desk)
    await desk.make_pass("trigger")
    desk.workspaces = {"eu": workspace("eu")}
    for _ in range(3):
        await desk.make_pass("trigger")
    assert titles(desk) == ["workspace default: nothing begins"]


async def test_what_was_noticed_before_the_clock_went_back_recovers(desk: Desk) -> None:
    desk.pass_time(5 * 3600)
    await refuse(desk)
    await desk.make_pass("trigger")
    desk.pass_time(-5 * 3600)
    desk.execute("UPDATE track_processing SET status = 'CANCELED', doubts = NULL")
    for _ in range(2):
        await desk.make_pass("trigger")
    assert titles(desk) == ["workspace default: nothing begins", "workspace default: recovered"]
