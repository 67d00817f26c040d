"""From what a workspace answers to what the API says of it: the app as production wires it, over HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from orchestrator import bootstrap, settings
from orchestrator.adapters.queue import _encode
from orchestrator.bootstrap import Application
from tests.databricks.support import ManualClock
from tests.fakes import FakeQueue, FakeRuns
from tests.use_cases.answering import JobsApi, ended, goes_on, served
from tests.web.conftest import ENVIRONMENT
from tests.web.support import Site, add
from tests.world import Database

#: Longer than a wait without a slot, in seconds.
LONG = 3700

DENIED = (403, {"error_code": "PERMISSION_DENIED", "message": "You may not view run 1000."})


class Messages(FakeQueue):
    """A queue whose messages the test delivers."""

    async def close(self) -> None:
        """There is nothing to close."""


@dataclass(kw_only=True)
class Deployed:
    """The app, its workspace, its API and the time of all."""

    app: Application
    workspace: JobsApi
    site: Site
    database: Database
    clock: ManualClock
    queue: Messages = field(default_factory=Messages)

    async def passes(self, count: int = 1, *, seconds: float = 0) -> None:
        """Let time pass, make a pass of each timer function and deliver its messages, some times over."""
        for _ in range(count):
            self.database.pass_time(seconds)
            self.clock.now += seconds
            for make in (self.app.trigger, self.app.monitor):
                await self._deliver_after(make)

    async def _deliver_after(self, make: Callable[[], Awaitable[list[str]]]) -> None:
        await make()
        messages, self.queue.sent = self.queue.sent, []
        for claim in messages:
            await self.app.submit(_encode(claim).encode())

    async def reasons(self) -> list[str]:
        """Return what health says."""
        _, told = await self.site.call("GET", "health")
        found: list[str] = told.get("reasons", [])
        return found

    async def entry(self, entry_id: int) -> dict[str, Any]:
        return (await self.site.call("GET", f"entries/{entry_id}"))[1]


@asynccontextmanager
async def deployed(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: str) -> AsyncIterator[Deployed]:
    """Start the app from its settings, beside a workspace over HTTP."""
    database, clock, messages, workspace = Database(folder), ManualClock(), Messages(), JobsApi()
    monkeypatch.setattr(bootstrap, "connector", lambda _store, **_: database.connector)
    monkeypatch.setattr(bootstrap, "SystemClock", lambda: clock)
    monkeypatch.setattr(bootstrap, "_queue", lambda _settings: messages)
    async with served(workspace) as host:
        environment = {"DATABRICKS_HOST": host, "STATE_DB": str(database.path), **changes}
        app = Application(settings.load({**ENVIRONMENT, **environment}), patience=0)
        site = Site(app=app, runs=FakeRuns(), database=database.path)
        yield Deployed(
            app=app, workspace=workspace, site=site, database=database, clock=clock, queue=messages
        )
        await app.close()


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Deployed]:
    async with deployed(tmp_path, monkeypatch) as made:
        yield made


NO_SLOT = "workspace default: no slot, 10 times in a row or more: 1 entry, for example entry"


async def test_runs_that_find_no_slot_are_a_reason_from_the_tenth_time_on(world: Deployed) -> None:
    [entry_id] = await add(world.site, "sales", max_attempts=1)
    for times in range(1, 12):
        await world.passes(seconds=LONG)
        world.workspace.runs[999 + times] = ended("MAX_JOB_QUEUE_SIZE_EXCEEDED", "CLIENT_ERROR")
        await world.passes()
        assert (await world.entry(entry_id))["slot_waits"] == times
        assert [reason.startswith(NO_SLOT) for reason in await world.reasons()] == [True] * (times >= 10)
    shown = await world.entry(entry_id)
    assert (shown["status"], shown["attempt"]) == ("PENDING", 0)


async def test_calls_without_capacity_wait_longer_each_time_and_are_a_reason(world: Deployed) -> None:
    full = {"error_code": "QUOTA_EXCEEDED", "message": "There are already 1000 active runs (limit: 1000)."}
    world.workspace.answers["run-now"] = (429, full)
    [entry_id] = await add(world.site, "sales", max_attempts=1)
    waits = []
    for times in range(1, 12):
        await world.passes(seconds=LONG)
        [(wait, attempt)] = world.site.execute(
            "SELECT 86400 * (julianday(available_at) - julianday(updated_at)), attempt FROM track_processing"
        )
        waits.append(wait)
        assert ((await world.entry(entry_id))["slot_waits"], attempt) == (times, 0)
    assert waits == pytest.approx([min(3600, 60 * 2**n) for n in range(11)], rel=0.26)
    [reason] = await world.reasons()
    assert reason.startswith(NO_SLOT)
    assert "already 1000 active runs" in reason
    assert world.workspace.calls.count("run-now") == 11
    world.workspace.answers.clear()
    await world.passes(seconds=LONG)
    assert (await world.entry(entry_id))["status"] == "RUNNING"


async def test_failures_of_the_platform_are_a_reason_from_the_tenth_time_on(world: Deployed) -> None:
    [entry_id] = await add(world.site, "sales", max_attempts=1)
    for times in range(1, 12):
        await world.passes(seconds=LONG)
        world.workspace.runs[999 + times] = ended("CLUSTER_ERROR", "CLOUD_FAILURE", message="no machines")
        await world.passes()
        shown = await world.entry(entry_id)
        assert (shown["platform_failures"], shown["attempt"]) == (times, 0)
        assert [reason.endswith("no machines") for reason in await world.reasons()] == [True] * (times == 10)
    assert shown["status"] == "DEAD"
    assert "MAX_PLATFORM_RETRIES" in shown["last_error"]


async def test_entries_that_a_workspace_keeps_queued_are_a_reason(world: Deployed) -> None:
    gone = {"error_code": "FEATURE_DISABLED", "message": "Jobs are disabled."}
    world.workspace.answers["run-now"] = (404, gone)
    [entry_id] = await add(world.site, "sales")
    await world.passes(20, seconds=60)
    assert await world.reasons() == []
    await world.passes(15, seconds=60)
    [reason] = await world.reasons()
    start = "workspace default: QUEUED for longer than two leases: 1 entry, for example entry"
    assert reason.startswith(f"{start} {entry_id} since ")
    assert reason.endswith("FEATURE_DISABLED: Jobs are disabled.")
    world.workspace.answers.clear()
    await world.passes(10, seconds=60)
    assert ((await world.entry(entry_id))["status"], await world.reasons()) == ("RUNNING", [])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (DENIED, "keeps the app from reading or cancelling the run"),
        (
            (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Run 1000 does not exist."}),
            "says that the run does not exist",
        ),
    ],
)
async def test_a_run_that_cannot_be_seen_is_a_reason_with_the_workspaces_words(
    world: Deployed, answer: tuple[int, dict[str, Any]], words: str
) -> None:
    [entry_id] = await add(world.site, "sales")
    await world.passes()
    world.workspace.unlisted = {1000}
    world.workspace.answers["runs/get"] = answer
    world.database.pass_time(130)  # a run is never gone in its first two minutes
    await world.app.monitor()
    [reason] = await world.reasons()
    assert reason.startswith(
        f"workspace default: RUNNING, but Databricks {words}: 1 entry, for example entry"
    )
    shown = await world.entry(entry_id)
    for text in (reason, shown["last_error"]):
        assert answer[1]["message"] in text
    assert shown["status"] == "RUNNING"
    world.workspace.answers.clear()
    await world.passes(seconds=60)
    assert ((await world.entry(entry_id))["last_error"], await world.reasons()) == (None, [])


@pytest.mark.parametrize("reason", ["a person", "time-out"])
async def test_a_cancellation_without_effect_is_a_reason_from_a_quarter_of_an_hour_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    seconds = "60" if reason == "time-out" else "0"
    async with deployed(tmp_path, monkeypatch, RUN_TIMEOUT_SECONDS=seconds) as world:
        [entry_id] = await add(world.site, "sales")
        await world.passes()
        world.workspace.runs[1000] = goes_on("TERMINATING")
        world.workspace.answers["runs/cancel"] = (200, {})
        if reason == "a person":
            await world.site.call("POST", f"entries/{entry_id}/cancel")
        await world.passes(12, seconds=60)
        assert await world.reasons() == []
        await world.passes(10, seconds=60)
        [told] = await world.reasons()
        words = "RUNNING for long after its cancellation was asked for: 1 entry, for example entry"
        assert told.startswith(f"workspace default: {words} {entry_id} since ")
        assert "its run goes on although Databricks accepted a call to cancel it at" in told
        shown = await world.entry(entry_id)
        assert (shown["status"], shown["run_state"]) == ("RUNNING", "TERMINATING")
        assert shown["last_error"] in told
        del world.workspace.answers["runs/cancel"]
        await world.passes(17, seconds=60)
        assert await world.reasons() == []


@pytest.mark.parametrize(
    ("state", "hours"),
    [
        ("QUEUED", 48),
        ("PENDING", 24.3),
        ("BLOCKED", 24.3),
        ("WAITING_FOR_RETRY", 24.3),
        ("TERMINATING", 1.3),
    ],
)
@pytest.mark.parametrize("listed", [True, False])
async def test_a_run_that_stands_still_is_a_reason(
    world: Deployed, state: str, hours: float, listed: bool
) -> None:
    [entry_id] = await add(world.site, "sales")
    await world.passes()
    world.workspace.runs[1000] = goes_on(state)
    world.workspace.unlisted = set() if listed else {1000}
    await world.passes(2, seconds=901)
    await world.passes(seconds=3600 * hours - 3000)
    assert await world.reasons() == []
    await world.passes(seconds=3000)
    [told] = await world.reasons()
    words = "RUNNING, but its run in Databricks neither executes nor ends: 1 entry, for example entry"
    assert told.startswith(f"workspace default: {words} {entry_id} since ")
    assert told.endswith(f": run 1000 is {state}")
    world.workspace.runs[1000] = goes_on()
    await world.passes(seconds=60)
    assert await world.reasons() == []


async def test_a_late_timer_function_hides_no_other_reason(world: Deployed) -> None:
    await add(world.site, "sales")
    await world.passes()
    world.workspace.unlisted = {1000}
    world.workspace.answers["runs/get"] = DENIED
    await world.app.monitor()
    world.database.pass_time(LONG)
    reasons = await world.reasons()
    assert [reason for reason in reasons if reason.startswith("monitor has not begun since")]
    assert [reason for reason in reasons if "You may not view run 1000" in reason]


async def test_foreign_runs_that_keep_entries_waiting_are_named(world: Deployed) -> None:
    foreign = {9001: goes_on(job_id=8), 9002: goes_on(job_id=8), 9003: goes_on(job_id=9)}
    world.workspace.runs |= foreign
    await add(world.site, "sales")
    await world.passes(20, seconds=60)
    assert await world.reasons() == [
        "entries of workspace default wait: foreign runs take 3 of its 3 slots (job 8: 2, job 9: 1)"
    ]
    for run_id, run in foreign.items():
        world.workspace.runs[run_id] = {**run, "end_time": 1}
    await world.passes(seconds=60)
    assert await world.reasons() == []


async def test_a_run_far_beyond_the_usual_time_is_a_reason_and_marked(world: Deployed) -> None:
    for number in range(3):
        await add(world.site, "sales")
        await world.passes()
        world.workspace.runs[1000 + number] = ended(
            "SUCCESS", "SUCCESS", setup_duration=1000, execution_duration=59_000
        )
        await world.passes()
    [entry_id] = await add(world.site, "sales")
    await world.passes(10, seconds=60)
    shown = await world.entry(entry_id)
    assert (shown["status"], shown["usual_seconds"], shown["overdue"]) == ("RUNNING", 60.0, False)
    await world.passes(10, seconds=60)
    assert (await world.entry(entry_id))["overdue"] is True
    [reason] = await world.reasons()
    assert reason.startswith("workspace default: RUNNING for far longer than usual: 1 entry")


@pytest.mark.parametrize("kept", [False, True])
async def test_the_exit_value_of_a_notebook_is_shown_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    async with deployed(tmp_path, monkeypatch, STORE_RESULTS=str(kept).lower()) as world:
        [entry_id] = await add(world.site, "sales")
        await world.passes()
        success = ended("SUCCESS", "SUCCESS")
        task = {"run_id": 1, "task_key": "load", "attempt_number": 0, "notebook_task": {}, **success}
        world.workspace.outputs[1] = {"notebook_output": {"result": "17 rows"}, "metadata": {}}
        world.workspace.runs[1000] = {**success, "tasks": [task]}
        await world.passes()
        [run] = (await world.entry(entry_id))["runs"]
        assert (run["status"], run["result"]) == ("DONE", "17 rows" if kept else None)


async def test_runs_that_vanish_together_are_a_reason_with_its_beginning(world: Deployed) -> None:
    ids = await add(world.site, "a", "b", "c")
    await world.passes()
    world.workspace.unlisted = set(world.workspace.runs)
    text = "Run 1 does not exist."
    world.workspace.answers["runs/get"] = (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": text})
    await world.passes(20, seconds=120)
    shown = await world.entry(ids[0])
    since = f"{shown['missing_since']:.19}".replace("T", " ")
    [reason] = await world.reasons()
    assert reason.startswith(
        "workspace default: RUNNING, but Databricks says that the run does not exist: 3 entries, for example "
        f"entry {ids[0]} since {since} UTC: its run vanished together with others: "
    )
    assert "Run 1 does not exist" in reason
    world.workspace.answers.clear()
    await world.passes(seconds=120)
    assert await world.reasons() == []
    assert world.workspace.calls.count("run-now") == 3
