"""A wrong job in the settings, or a token of the wrong principal, ends no entry: over HTTP, by the minute."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from orchestrator.adapters.store.reports import Reports
from orchestrator.core import health
from orchestrator.core.policy import WorkspacePolicy
from orchestrator.core.states import Status
from orchestrator.core.waiting import Reason, Slots, explain
from tests.use_cases.answering import Answer, AnsweredWorld, JobsApi, answering, ended
from tests.world import workspace

NO_JOB: Answer = (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Job 5 does not exist."})
NO_RIGHT: Answer = (
    403,
    {"error_code": "PERMISSION_DENIED", "message": "User 9 does not have Manage Run permission on job 5"},
)
ARCHIVED: Answer = (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Job 5 is archived"})


@dataclass
class RefusingApi(JobsApi):
    """A workspace that refuses the jobs that the test says; all other runs end at once."""

    #: by job; None = each job
    refusals: dict[int | None, Answer] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)

    def _run_now(self, body: dict[str, Any]) -> web.Response:
        job_id = int(body["job_id"])
        self.asked.append(job_id)
        refusal = self.refusals.get(job_id) or self.refusals.get(None)
        if refusal is not None:
            status, content = refusal
            return web.json_response(content, status=status)
        run_id = self.by_token.setdefault(body["idempotency_token"], 1000 + len(self.by_token))
        self.runs[run_id] = ended("SUCCESS", "SUCCESS", job_id=job_id)
        return web.json_response({"run_id": run_id})


async def minutes(world: AnsweredWorld, count: int) -> None:
    for _ in range(count):
        world.clock.time += 60
        await world.next_pass(60)


async def states(world: AnsweredWorld, ids: list[int]) -> set[Status]:
    return {(await world.entry(entry_id)).status for entry_id in ids}


@pytest.mark.parametrize("refusal", [NO_JOB, NO_RIGHT, ARCHIVED])
async def test_a_wrong_job_in_the_settings_ends_no_entry(tmp_path: Path, refusal: Answer) -> None:
    api = RefusingApi(refusals={5: refusal})
    async with answering(tmp_path, api) as world:
        world.workspaces["default"] = workspace(cap=10)  # type: ignore[index]
        ids = await world.add(*(f"t{number}" for number in range(60)))
        await minutes(world, 60)
        assert await states(world, ids) == {Status.PENDING}
        assert len(api.asked) <= 10 + 10, "the first claim, and then one try after each pause"
        assert {(await world.entry(entry_id)).attempt for entry_id in ids} == {0}
        [trouble] = await Reports(world.store.pool).troubled(queued_seconds=1800)
        reason = health.troubled(trouble)
        assert "waiting, since the job that the settings name is refused: " in reason
        assert "Databricks run-now: HTTP " in reason
        assert trouble.since is not None
        found = await Reports(world.store.pool).candidates("default", 100)
        waits = {each.reason for each in explain(found, Slots(free=10), world.policy)}
        assert waits == {Reason.REFUSED}
        others = await world.add("other", job_id=6)
        await minutes(world, 2)
        assert await states(world, others) == {Status.DONE}, "entries with a job of their own go on"
        api.refusals.clear()
        await minutes(world, 16)
        assert Status.DONE in await states(world, ids), "one has tried"
        await minutes(world, 25)
        assert await states(world, ids) == {Status.DONE}


async def test_another_job_in_the_settings_is_tried_at_once(tmp_path: Path) -> None:
    api = RefusingApi(refusals={5: NO_JOB})
    async with answering(tmp_path, api) as world:
        world.workspaces["default"] = workspace(cap=10)  # type: ignore[index]
        ids = await world.add(*(f"t{number}" for number in range(30)))
        await minutes(world, 10)
        assert await states(world, ids) == {Status.PENDING}
        world.workspaces["default"] = WorkspacePolicy(name="default", job_id=7, cap=30)  # type: ignore[index]
        await minutes(world, 1)
        assert api.asked.count(7) >= 20


async def test_an_entry_that_names_a_wrong_job_itself_ends_at_once(tmp_path: Path) -> None:
    async with answering(tmp_path, RefusingApi(refusals={66: NO_JOB})) as world:
        ids = await world.add("a", "b", "c", "d", job_id=66)
        await minutes(world, 1)
        assert await states(world, ids) == {Status.DEAD}


async def test_a_wrong_parameter_ends_an_entry_also_on_the_job_of_the_settings(tmp_path: Path) -> None:
    words = {"error_code": "INVALID_PARAMETER_VALUE", "message": "parameter x is not defined by the job"}
    async with answering(tmp_path, RefusingApi(refusals={5: (400, words)})) as world:
        ids = await world.add("a")
        await minutes(world, 1)
        assert await states(world, ids) == {Status.DEAD}


async def test_the_wrong_principal_ends_no_entries_with_jobs_of_their_own(
    tmp_path: Path,
) -> None:
    api = RefusingApi(refusals={None: NO_RIGHT})
    async with answering(tmp_path, api) as world:
        world.workspaces["default"] = workspace(cap=10)  # type: ignore[index]
        ids = [*await world.add(*(f"t{n}" for n in range(30)), job_id=6)]
        ids += await world.add(*(f"u{n}" for n in range(30)), job_id=7)
        await minutes(world, 60)
        assert Status.DEAD not in await states(world, ids)
        assert len(api.asked) <= 10 + 12
        api.refusals.clear()
        await minutes(world, 45)
        assert await states(world, ids) == {Status.DONE}


async def test_a_job_without_permission_ends_its_entries_while_others_are_accepted(
    tmp_path: Path,
) -> None:
    api = RefusingApi(refusals={66: NO_RIGHT})
    async with answering(tmp_path, api) as world:
        bad = await world.add(*(f"t{n}" for n in range(5)), job_id=66)
        for number in range(15):
            await world.add(f"good{number}")
            await minutes(world, 1)
        assert await states(world, bad) == {Status.DEAD}


async def test_one_entry_without_permission_on_its_own_job_ends(tmp_path: Path) -> None:
    async with answering(tmp_path, RefusingApi(refusals={66: NO_RIGHT})) as world:
        bad = await world.add("a", job_id=66)
        await minutes(world, 10)
        assert await states(world, bad) == {Status.DEAD}


async def test_a_continuous_job_in_the_settings_ends_no_entry(tmp_path: Path) -> None:
    api = RefusingApi()
    settings = {"name": "load", "max_concurrent_runs": 1, "continuous": {"pause_status": "UNPAUSED"}}
    api.answers["get"] = (200, {"job_id": 5, "settings": settings})
    async with answering(tmp_path, api) as world:
        ids = await world.add(*(f"t{n}" for n in range(20)))
        await minutes(world, 20)
        assert await states(world, ids) == {Status.PENDING}
        assert api.asked == []
        own = await world.add("own", job_id=5)
        await minutes(world, 1)
        assert await states(world, own) == {Status.DEAD}


async def test_one_entry_alone_tries_less_and_less_often_and_goes_on(tmp_path: Path) -> None:
    api = RefusingApi(refusals={5: NO_JOB})
    async with answering(tmp_path, api) as world:
        [entry_id] = await world.add("a")
        await minutes(world, 60)
        assert 5 <= len(api.asked) <= 10
        assert (await world.entry(entry_id)).status is Status.PENDING
        api.refusals.clear()
        await minutes(world, 16)
        assert (await world.entry(entry_id)).status is not Status.PENDING
