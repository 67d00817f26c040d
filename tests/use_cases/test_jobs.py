"""Jobs are looked up by id or by name, once for all callers, and kept for some minutes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core import pass_budget
from orchestrator.core.errors import InvalidEntry, RequestRefused, WorkspaceUnavailable
from orchestrator.core.models import JobKey, JobLimit
from orchestrator.core.policy import WorkspacePolicy
from orchestrator.usecases import jobs as jobs_module
from orchestrator.usecases.jobs import Jobs
from tests.databricks.support import Workspace, connected, error, hang, ok
from tests.fakes import FakeClock
from tests.use_cases.simulated import SimulatedWorld, simulated

NAMED = WorkspacePolicy(name="default", job_id=None, job_name="nightly", cap=130)


def settings(**changes: Any) -> dict[str, Any]:
    return {"name": "load", "tasks": [{"task_key": "main"}], **changes}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SimulatedWorld]:
    async with simulated(tmp_path, default=NAMED) as made:
        yield made


async def test_a_job_is_found_by_id_by_name_and_by_the_workspaces_default(world: SimulatedWorld) -> None:
    load = world.simulator.workspace.create_job(settings(max_concurrent_runs=7))
    nightly = world.simulator.workspace.create_job(settings(name="nightly"))
    world.simulator.workspace.create_job(settings(name="NIGHTLY"))  # another name: case counts
    by_id = await world.jobs.resolve("default", JobKey(job_id=load.job_id))
    by_name = await world.jobs.resolve("default", JobKey(job_name="load"))
    by_default = await world.jobs.resolve("default", JobKey())
    assert (by_id.job_id, by_id.max_concurrent_runs) == (load.job_id, 7)
    assert by_name == by_id
    assert (by_default.job_id, by_default.max_concurrent_runs) == (nightly.job_id, 1)


async def test_concurrent_callers_share_one_call_and_a_job_is_kept(world: SimulatedWorld) -> None:
    job = world.simulator.workspace.create_job(settings())
    keys = [JobKey(job_name="load"), JobKey(job_id=job.job_id)] * 20
    found = await asyncio.gather(*(world.jobs.resolve("default", key) for key in keys))
    assert {each.job_id for each in found} == {job.job_id}
    assert (world.requests("get"), world.requests("list")) == (1, 1)
    world.pass_time(59)
    await world.jobs.resolve("default", JobKey(job_name="load"))
    assert (world.requests("get"), world.requests("list")) == (1, 1)
    world.pass_time(240)
    await world.jobs.resolve("default", JobKey(job_name="load"))
    assert (world.requests("get"), world.requests("list")) == (1, 2)  # a name may stand for a new job
    world.pass_time(1)
    await world.jobs.resolve("default", JobKey(job_name="load"))
    assert (world.requests("get"), world.requests("list")) == (2, 2)


async def test_a_forgotten_job_is_looked_up_again(world: SimulatedWorld) -> None:
    job = world.simulator.workspace.create_job(settings())
    await world.jobs.resolve("default", JobKey(job_name="load"))
    world.jobs.forget("default", job.job_id)
    await world.jobs.resolve("default", JobKey(job_name="load"))
    assert (world.requests("get"), world.requests("list")) == (2, 2)


async def test_an_ambiguous_name_says_which_jobs_and_what_to_do(world: SimulatedWorld) -> None:
    ids = sorted(world.simulator.workspace.create_job(settings()).job_id for _ in range(2))
    with pytest.raises(InvalidEntry) as caught:
        await world.jobs.resolve("default", JobKey(job_name="load"))
    assert str(caught.value) == (
        f"several jobs in workspace default are named 'load' (for example {ids[0]}, {ids[1]}): rename all "
        "but one, or give job_id instead of job_name"
    )


async def test_an_unknown_name_is_kept_for_a_short_time_only(world: SimulatedWorld) -> None:
    for _ in range(2):
        with pytest.raises(InvalidEntry, match="there is no job named 'load' in workspace default"):
            await world.jobs.resolve("default", JobKey(job_name="load"))
    assert world.requests("list") == 1
    job = world.simulator.workspace.create_job(settings())
    world.pass_time(30)
    assert (await world.jobs.resolve("default", JobKey(job_name="load"))).job_id == job.job_id


async def test_a_job_that_does_not_exist_is_refused(world: SimulatedWorld) -> None:
    with pytest.raises(RequestRefused, match="does not exist"):
        await world.jobs.resolve("default", JobKey(job_id=404))


@pytest.mark.parametrize(
    ("workspace", "key", "text"),
    [
        ("default", JobKey(job_id=0), "job_id must be a positive number"),
        ("default", JobKey(job_name=" "), "job_name is empty"),
        ("none", JobKey(job_id=1), "workspace is unknown; the settings have default"),
    ],
)
async def test_an_impossible_job_is_not_looked_up(
    world: SimulatedWorld, workspace: str, key: JobKey, text: str
) -> None:
    with pytest.raises(InvalidEntry) as caught:
        await world.jobs.resolve(workspace, key)
    assert str(caught.value) == text
    assert not world.simulator.requests


async def test_without_any_job_the_text_names_the_settings(world: SimulatedWorld) -> None:
    without = {"default": WorkspacePolicy(name="default", job_id=None, cap=1)}
    jobs = Jobs(runs=world.runs, workspaces=without, clock=world.clock)
    with pytest.raises(InvalidEntry, match="setting DATABRICKS_JOB_ID or DATABRICKS_JOB_NAME"):
        await jobs.resolve("default", JobKey())


async def test_a_job_deployed_anew_is_found_although_the_name_is_kept() -> None:
    """The name's id is kept for five minutes; the old job is gone, and the name stands for a new one."""
    gone = error(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Job 5 does not exist."})
    named = {"settings": {"name": "load"}}
    async with Workspace().serve() as workspace, connected(workspace) as client:
        clock = FakeClock()
        jobs = Jobs(runs={"default": client}, workspaces={"default": NAMED}, clock=clock)
        workspace.replies = [
            ok({"jobs": [{"job_id": 5, **named}]}),
            ok({"job_id": 5, **named}),
            gone,
            ok({"jobs": [{"job_id": 6, **named}]}),
            ok({"job_id": 6, **named}),
        ]
        assert (await jobs.resolve("default", JobKey(job_name="load"))).job_id == 5
        jobs.forget("default", 5)
        jobs._ids._slots["default", "load"].until = clock.monotonic() + 100
        assert (await jobs.resolve("default", JobKey(job_name="load"))).job_id == 6


async def test_a_known_job_outlives_an_outage_and_an_unknown_one_says_so() -> None:
    """While jobs/get fails the job's limit stays in force."""
    async with Workspace().serve() as workspace, connected(workspace) as client:
        clock = FakeClock()
        jobs = Jobs(runs={"default": client}, workspaces={"default": NAMED}, clock=clock)
        workspace.replies = [ok({"job_id": 5, "settings": {"max_concurrent_runs": 3}}), error(503, {})]
        await jobs.resolve("default", JobKey(job_id=5))
        clock.time += 300
        assert (await jobs.resolve("default", JobKey(job_id=5))).max_concurrent_runs == 3
        with pytest.raises(WorkspaceUnavailable):
            await jobs.resolve("default", JobKey(job_id=6))


async def test_a_workspace_that_never_answers_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pass_budget, "JOB_SECONDS", 0.05)
    async with Workspace().serve() as workspace, connected(workspace) as client:
        workspace.replies = [hang]
        jobs = Jobs(runs={"default": client}, workspaces={"default": NAMED}, clock=FakeClock())
        with pytest.raises(WorkspaceUnavailable, match="no answer about a job within"):
            await jobs.resolve("default", JobKey(job_id=5))


async def test_only_so_many_are_kept(world: SimulatedWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "_MAX_KEPT", 2)
    ids = [world.simulator.workspace.create_job(settings()).job_id for _ in range(3)]
    for job_id in (*ids, *ids[1:]):
        await world.jobs.resolve("default", JobKey(job_id=job_id))
    assert world.requests("get") == 3
    await world.jobs.resolve("default", JobKey(job_id=ids[0]))
    assert world.requests("get") == 4


@pytest.mark.parametrize("kept", [0, 200, 205])
async def test_limits_are_known_of_all_jobs_however_many_entries_name(
    world: SimulatedWorld, kept: int
) -> None:
    """Also of the job that always comes last, whatever is known already."""
    ids = [world.simulator.workspace.create_job(settings(max_concurrent_runs=7)).job_id for _ in range(210)]
    for job_id in ids[:kept]:
        await world.jobs.resolve("default", JobKey(job_id=job_id))
    limits = await world.jobs.limits("default", {JobKey(job_id=each) for each in ids}, seconds=20)
    assert len(limits) == 210
    assert world.requests("get") == 210


async def test_limits_that_are_kept_come_before_jobs_that_give_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Jobs without an answer keep all look-ups busy. A limit from before is better than none."""
    async with Workspace().serve() as workspace, connected(workspace) as client:
        clock = FakeClock()
        jobs = Jobs(runs={"default": client}, workspaces={"default": NAMED}, clock=clock)
        workspace.replies = [ok({"job_id": 5, "settings": {"max_concurrent_runs": 3}})]
        await jobs.resolve("default", JobKey(job_id=5))
        workspace.replies = [hang]
        keys = [JobKey(job_id=job_id) for job_id in (*range(10, 40), 5)]
        known = {JobKey(job_id=5): JobLimit(job_id=5, max_concurrent_runs=3)}
        assert await jobs.limits("default", keys, seconds=0.05) == known
        clock.time += 301
        assert await jobs.limits("default", keys, seconds=0.05) == known


async def test_the_trigger_asks_for_the_limits_of_the_jobs_that_open_entries_name(
    world: SimulatedWorld,
) -> None:
    load = world.simulator.workspace.create_job(settings(max_concurrent_runs=2))
    stream = world.simulator.workspace.create_job(settings(name="stream", continuous={}))
    await world.add("a", job_name="load")
    await world.add("b", job_id=stream.job_id)
    await world.add("c", job_id=404)
    limits, _ = await world.make_trigger()._job_limits("default", seconds=5)
    assert limits == {JobKey(job_name="load"): JobLimit(job_id=load.job_id, max_concurrent_runs=2)}


async def test_a_job_deployed_anew_under_its_name_gets_the_next_runs(world: SimulatedWorld) -> None:
    """The old job still exists under another name, as a deployment tool leaves it."""
    old = world.simulator.workspace.create_job(settings())
    await world.add("a", job_name="load")
    await world.minutes(1)
    old_jobs = world.simulator.workspace._jobs
    old_jobs[old.job_id] = replace(old, name="load, before")
    new = world.simulator.workspace.create_job(settings())
    await world.add("b", job_name="load")
    await world.minutes(1)
    assert [run.job.job_id for run in reversed(world.simulator.workspace.runs())] == [old.job_id, new.job_id]


@pytest.mark.timeout(120)
async def test_forty_entries_of_a_job_that_runs_one_at_a_time(world: SimulatedWorld) -> None:
    """Without the job's limit 975 runs started in this hour and 15 of them ran."""
    job = world.simulator.workspace.create_job(settings(max_concurrent_runs=1))
    ids = await world.add(*(f"t{number}" for number in range(40)), job_id=job.job_id)
    await world.minutes(60)
    results = [run.end.result_state for run in world.simulator.workspace.runs() if run.end is not None]
    entries = [await world.entry(entry_id) for entry_id in ids]
    assert results == ["SUCCESS"] * 40
    assert [entry.status for entry in entries] == ["DONE"] * 40
    assert {entry.slot_waits for entry in entries} == {0}
