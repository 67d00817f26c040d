"""A job without room holds up no other job: the real client against a server whose jobs have few slots."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from orchestrator.core.states import Status
from orchestrator.usecases.jobs import Jobs
from tests.use_cases.answering import START_MS, AnsweredWorld, JobsApi, answering, ended, goes_on
from tests.world import workspace

#: The job with one slot, and the one with as many as anybody wants.
NARROW, WIDE = 66, 5

CAP = 10


@dataclass
class NarrowApi(JobsApi):
    """A workspace that tells nobody how many runs a job may have. A run of `NARROW` never ends."""

    #: what becomes of a run for which there is no slot: SKIPPED or REFUSED
    without_slot: str = "SKIPPED"
    job_of: dict[int, int] = field(default_factory=dict)
    #: calls of run-now for it
    calls_of_narrow: int = 0

    def _get_job(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({"error_code": "PERMISSION_DENIED", "message": "no"}, status=403)

    def _run_now(self, body: dict[str, Any]) -> web.Response:
        job_id = int(body["job_id"])
        if job_id != NARROW:
            return self._start(body, goes_on())
        self.calls_of_narrow += 1
        active = [run_id for run_id, run in self.runs.items() if "end_time" not in run]
        if NARROW not in {self.job_of[run_id] for run_id in active}:
            return self._start(body, goes_on())
        if self.without_slot == "REFUSED":
            message = "Job 66 already has an active run"
            return web.json_response({"error_code": "REQUEST_LIMIT_EXCEEDED", "message": message}, status=429)
        return self._start(body, ended("MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR"))

    def _start(self, body: dict[str, Any], run: dict[str, Any]) -> web.Response:
        run_id = self.by_token.setdefault(body["idempotency_token"], 1000 + len(self.by_token))
        self.runs.setdefault(run_id, run)
        self.job_of[run_id] = int(body["job_id"])
        return web.json_response({"run_id": run_id})

    def _list(self, _: dict[str, Any]) -> web.Response:
        active = [
            {"run_id": run_id, "job_id": self.job_of[run_id], **run}
            for run_id, run in self.runs.items()
            if "end_time" not in run
        ]
        return web.json_response({"runs": active} if active else {})

    def _get(self, body: dict[str, Any]) -> web.Response:
        run_id = int(body["run_id"])
        return web.json_response({"run_id": run_id, "job_id": self.job_of[run_id], **self.runs[run_id]})

    def end_wide(self) -> None:
        """Let the runs of the wide job succeed."""
        for run_id, run in self.runs.items():
            if self.job_of[run_id] == WIDE and "end_time" not in run:
                self.runs[run_id] = ended("SUCCESS", "SUCCESS", end_time=START_MS + run_id)


async def a_minute(world: AnsweredWorld, api: NarrowApi, *, other_process: bool) -> None:
    """Make a pass, and let all runs of the wide job succeed."""
    if other_process:
        world.jobs = Jobs(runs=world.runs, workspaces=world.workspaces, clock=world.clock)
    world.clock.time += 60
    await world.next_pass(60)
    api.end_wide()


async def done(world: AnsweredWorld, ids: list[int]) -> int:
    return sum([(await world.entry(entry_id)).status is Status.DONE for entry_id in ids])


@pytest.mark.parametrize("other_process", [False, True])
@pytest.mark.parametrize("without_slot", ["SKIPPED", "REFUSED"])
async def test_entries_of_a_job_with_one_slot_hold_up_no_other_job(
    tmp_path: Path, without_slot: str, other_process: bool
) -> None:
    """25 entries of one job are older than all others; also where what was learnt of the job is lost."""
    api = NarrowApi(without_slot=without_slot)
    async with answering(tmp_path, api) as world:
        world.workspaces["default"] = workspace(cap=CAP)  # type: ignore[index]
        style = "notebook_params"
        await world.add(*(f"n{number}" for number in range(25)), job_id=NARROW, parameter_style=style)
        wide = await world.add(*(f"w{number}" for number in range(40)), job_id=WIDE, parameter_style=style)
        for _ in range(12):
            await a_minute(world, api, other_process=other_process)
        assert await done(world, wide) == 40
        if not other_process:
            assert api.calls_of_narrow <= CAP + 2, "one more every five minutes"


async def test_who_had_no_slot_comes_behind_its_priority_and_before_a_lower_one(tmp_path: Path) -> None:
    async with answering(tmp_path) as world:
        world.workspaces["default"] = workspace(cap=2)  # type: ignore[index]
        [without_slot, fresh, urgent, lesser] = await world.add("a", "b", "c", "d")
        world.database.execute(
            "UPDATE track_processing SET slot_waits = 1 WHERE id IN (?, ?)", without_slot, urgent
        )
        world.database.execute("UPDATE track_processing SET priority = 1 WHERE id = ?", urgent)
        world.database.execute("UPDATE track_processing SET priority = -1 WHERE id = ?", lesser)
        await world.trigger()
        assert [claim.entry_id for claim in world.queue.sent] == [urgent, fresh]


async def test_who_had_no_slot_is_not_behind_the_others_for_ever(tmp_path: Path) -> None:
    """Younger entries keep coming; after a quarter of an hour the older one has its turn again."""
    async with answering(tmp_path) as world:
        world.workspaces["default"] = workspace(cap=1)  # type: ignore[index]
        [waiting] = await world.add("a")
        world.database.execute("UPDATE track_processing SET slot_waits = 9 WHERE id = ?", waiting)
        for number in range(20):
            await world.add(f"b{number}")
            await world.next_pass(60)
            if (await world.entry(waiting)).status is Status.RUNNING:
                break
            [run_id] = [run_id for run_id, run in world.api.runs.items() if "end_time" not in run]
            world.api.runs[run_id] = ended("SUCCESS", "SUCCESS")
        assert number in {14, 15}
