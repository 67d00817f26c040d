"""A wrong job in the settings, or a token of the wrong principal, ends no entry: over HTTP, by the minute."""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from orchestrator.core.health import Trouble
from orchestrator.core.policy import WorkspacePolicy
from orchestrator.core.states import Status
from orchestrator.core.waiting import Reason
from tests.use_cases.answering import Answer, AnsweredWorld, JobsApi, answering, ended, goes_on
from tests.use_cases.test_held_tables import overview, told
from tests.world import policy, workspace

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
    #: source tables whose entries are refused whatever their job is
    refused_tables: set[str] = field(default_factory=set)
    ends: bool = True

    def _run_now(self, body: dict[str, Any]) -> web.Response:
        job_id = int(body["job_id"])
        self.asked.append(job_id)
        refusal = self.refusals.get(job_id) or self.refusals.get(None)
        if self.refused_tables & set(str(body).split("'")):
            refusal = NO_JOB
        if refusal is not None:
            status, content = refusal
            return web.json_response(content, status=status)
        run_id = self.by_token.setdefault(body["idempotency_token"], 1000 + len(self.by_token))
        run = ended("SUCCESS", "SUCCESS", job_id=job_id)
        self.runs[run_id] = run if self.ends else goes_on(job_id=job_id)
        return web.json_response({"run_id": run_id})


async def minutes(world: AnsweredWorld, count: int) -> None:
    for _ in range(count):
        world.clock.time += 60
        await world.next_pass(60)


async def states(world: AnsweredWorld, ids: list[int]) -> set[str]:
    return {(await world.entry(entry_id)).status for entry_id in ids}


@pytest.mark.slow
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
        [reason] = (await overview(world).health()).reasons[2:]  # two timer functions have begun no pass
        assert "waiting, since the job that the settings name is refused: 60 entries" in reason
        assert " since " in reason
        assert "Databricks run-now: HTTP " in reason
        found = await overview(world).waiting(None, 100)
        assert [each.reason for each in found].count(Reason.REFUSED) >= 59, "one may be the next to try"
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
        assert len(api.asked) <= 2 * (10 + 12), "each job's first claim, and then one try after each pause"
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
        await minutes(world, 40)
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


@pytest.mark.parametrize("words", ["The run of this idempotency token was deleted", "Run 7 was deleted"])
async def test_a_token_whose_run_was_deleted_is_no_refusal_of_the_job(tmp_path: Path, words: str) -> None:
    api = RefusingApi()
    async with answering(tmp_path, api) as world:
        [entry_id] = await world.add("a")
        api.answers["run-now"] = (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": words})
        await minutes(world, 2)
        entry = await world.entry(entry_id)
        assert (entry.status, entry.attempt) == (Status.FAILED, 1)
        assert len(await world.store.logs(entry_id)) == 1
        del api.answers["run-now"]
        await minutes(world, 5)
        assert (await world.entry(entry_id)).status is Status.DONE
        assert (await world.entry(entry_id)).submission > entry.submission


async def test_with_one_attempt_the_wrong_principal_ends_no_entries(tmp_path: Path) -> None:
    api = RefusingApi(refusals={None: NO_RIGHT})
    async with answering(tmp_path, api) as world:
        world.policy = policy(max_attempts=1)
        world.workspaces["default"] = workspace(cap=1)  # type: ignore[index]
        ids = await world.add(*(f"t{n}" for n in range(30)), job_id=6)
        world.database.execute("UPDATE track_processing SET priority = 9 WHERE id = ?", ids[3])
        await minutes(world, 120)
        assert await states(world, ids) == {Status.PENDING}
        [reason] = await told(world, Trouble.PRINCIPAL_REFUSED)
        assert "30 entries" in reason
        api.refusals.clear()
        await minutes(world, 12)
        assert await told(world, Trouble.PRINCIPAL_REFUSED) == []
        await minutes(world, 60)
        assert await states(world, ids) == {Status.DONE}


async def test_a_principal_that_loses_its_permission_ends_no_entries(tmp_path: Path) -> None:
    api = RefusingApi()
    async with answering(tmp_path, api) as world:
        world.policy = policy(max_attempts=1)
        world.workspaces["default"] = workspace(cap=10)  # type: ignore[index]
        good = await world.add(*(f"a{n}" for n in range(5)), job_id=6)
        await minutes(world, 2)
        assert await states(world, good) == {Status.DONE}
        api.refusals[None] = NO_RIGHT
        ids = await world.add(*(f"t{n}" for n in range(20)), job_id=6)
        await minutes(world, 90)
        assert await states(world, ids) == {Status.PENDING}


async def test_entries_of_an_allowed_job_do_not_wait_for_those_of_a_forbidden_one(tmp_path: Path) -> None:
    api = RefusingApi(refusals={66: NO_RIGHT})
    async with answering(tmp_path, api) as world:
        bad = await world.add("x", "y", "z", job_id=66)
        world.database.execute("UPDATE track_processing SET priority = 9")
        await minutes(world, 30)
        assert await states(world, bad) == {Status.PENDING}
        good = await world.add("good", job_id=6)
        await minutes(world, 2)
        assert await states(world, good) == {Status.DONE}
        for number in range(20):
            await world.add(f"good{number}", job_id=6)
            await minutes(world, 3)
        assert await states(world, bad) == {Status.DEAD}, "others are accepted, so it is their own fault"


@pytest.mark.slow
@pytest.mark.parametrize(("attempts", "backoff"), [(0, 60), (3, 600), (5, 300)])
async def test_a_healthy_workspace_goes_on_beside_a_forbidden_job(
    tmp_path: Path, attempts: int, backoff: int
) -> None:
    api = RefusingApi(refusals={66: NO_RIGHT})
    async with answering(tmp_path, api) as world:
        world.policy = policy(max_attempts=attempts, retry_backoff_seconds=backoff)
        await minutes(world, 1)
        await world.add("x", "y", "z", job_id=66)
        world.database.execute("UPDATE track_processing SET priority = -1 WHERE job_id = 66")
        for number in range(60):
            good = await world.add(f"good{number}", job_id=6)
            await minutes(world, 2)
            assert await states(world, good) == {Status.DONE}


async def test_a_long_back_off_holds_nobody_else(tmp_path: Path) -> None:
    api = RefusingApi(refusals={None: NO_RIGHT})
    async with answering(tmp_path, api) as world:
        world.policy = policy(retry_backoff_seconds=3600, max_attempts=9)
        await world.add(*(f"t{n}" for n in range(5)), job_id=6)
        await minutes(world, 1)
        api.refusals.clear()
        good = await world.add("good", job_id=7)
        await minutes(world, 2)
        assert await states(world, good) == {Status.DONE}


async def test_an_entry_that_a_person_postpones_holds_nobody_else(tmp_path: Path) -> None:
    api = RefusingApi(refusals={5: NO_JOB})
    async with answering(tmp_path, api) as world:
        ids = await world.add(*(f"t{n}" for n in range(10)))
        await minutes(world, 3)
        later = await world.store.now() + timedelta(days=2)
        world.database.execute(
            "UPDATE track_processing SET available_at = ? WHERE id = ?",
            later.strftime("%Y-%m-%d %H:%M:%S.000"),
            ids[0],
        )
        api.refusals.clear()
        await minutes(world, 20)
        assert await states(world, ids[1:]) == {Status.DONE}


async def test_health_forgets_a_refusal_with_the_first_accepted_call(tmp_path: Path) -> None:
    api = RefusingApi(refusals={5: NO_JOB})
    async with answering(tmp_path, api) as world:
        world.workspaces["default"] = workspace(cap=10)  # type: ignore[index]
        ids = await world.add(*(f"t{number}" for number in range(10)))
        await minutes(world, 20)
        assert await told(world, Trouble.SETTING_REFUSED) != []
        api.refusals.clear()
        api.ends = False
        world.workspaces["default"] = workspace(cap=1)  # type: ignore[index]
        await minutes(world, 11)
        assert Status.RUNNING in await states(world, ids)
        assert await told(world, Trouble.SETTING_REFUSED) == []
        found = await overview(world).waiting(None, 100)
        assert Reason.REFUSED not in {each.reason for each in found}
        await minutes(world, 60)
        assert await told(world, Trouble.SETTING_REFUSED) == []


async def test_one_entry_of_a_forbidden_job_is_no_reason_to_suspect_the_principal(tmp_path: Path) -> None:
    async with answering(tmp_path, RefusingApi(refusals={66: NO_RIGHT})) as world:
        await world.add("a", job_id=66)
        for _ in range(20):
            await minutes(world, 1)
            assert await told(world, Trouble.PRINCIPAL_REFUSED) == []


async def test_an_entry_that_is_refused_again_and_again_lets_others_try(tmp_path: Path) -> None:
    api = RefusingApi(refusals={5: NO_JOB})
    async with answering(tmp_path, api) as world:
        ids = await world.add("first", "second", *(f"t{number}" for number in range(8)))
        world.database.execute("UPDATE track_processing SET priority = 9 WHERE id <= ?", ids[1])
        await minutes(world, 5)
        api.refusals.clear()
        api.refused_tables = {"first", "second"}
        await minutes(world, 60)
        assert await states(world, ids[2:]) == {Status.DONE}
        assert await states(world, ids[:2]) == {Status.PENDING}


async def test_a_job_of_a_long_name_is_kept_within_the_column(tmp_path: Path) -> None:
    name = "日次バッチ" * 60
    async with answering(tmp_path, RefusingApi()) as world:
        world.workspaces["default"] = replace(  # type: ignore[index]
            workspace(cap=10), job_id=None, job_name=name
        )
        ids = await world.add(*(f"t{n}" for n in range(4)))
        await minutes(world, 30)
        kept = [(await world.entry(entry_id)).doubts or "" for entry_id in ids]
        assert await states(world, ids) <= {Status.PENDING, Status.QUEUED}
        assert max(map(len, kept)) < 400


async def test_a_try_that_never_ends_holds_nobody_for_long(tmp_path: Path) -> None:
    api = RefusingApi(refusals={5: NO_JOB})
    async with answering(tmp_path, api) as world:
        world.workspaces["default"] = workspace(cap=10)  # type: ignore[index]
        ids = await world.add(*(f"t{n}" for n in range(20)))
        await minutes(world, 3)
        world.database.execute(
            "UPDATE track_processing SET status = 'QUEUED', submission = 9, available_at = updated_at, "
            "lease_expires_at = '2999-01-01 00:00:00.000' WHERE id = ?",
            ids[0],
        )
        asked = len(api.asked)
        api.refusals.clear()
        await minutes(world, 18)
        assert len(api.asked) >= asked + 15
