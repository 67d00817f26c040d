"""Which active runs of a workspace take slots, with the real client and answers of a real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.core.states import Status
from tests.databricks.support import Workspace, connected
from tests.world import Database, DeliveredUseCases, workspace

JOB_ID = 5


class Listing:
    """A workspace with the active runs that the test says, in pages of 24. Each run-now starts one."""

    def __init__(self) -> None:
        self.active: list[dict[str, Any]] = []
        #: None = jobs/get fails
        self.max_concurrent_runs: int | None = 1000
        #: runs over this number are skipped; the app is not told
        self.hidden_limit = 1000
        self.skipped: set[int] = set()
        self.started = 0

    async def reply(self, request: web.Request) -> web.Response:
        call = request.path.removeprefix("/api/2.2/jobs/")
        if call == "runs/list":
            return web.json_response(self.page(int(request.query.get("page_token") or 0)))
        if call == "get" and self.max_concurrent_runs is None:
            return web.json_response({}, status=500)
        if call == "get":
            settings = {"max_concurrent_runs": self.max_concurrent_runs}
            return web.json_response({"job_id": JOB_ID, "settings": settings})
        if call == "runs/get":
            return web.json_response(self.over(int(request.query["run_id"])))
        assert call == "run-now"
        self.started += 1
        if len(self.active) < self.hidden_limit:
            self.active.append(run(self.started))
        else:
            self.skipped.add(self.started)
        return web.json_response({"run_id": self.started})

    def over(self, run_id: int) -> dict[str, Any]:
        """Return a run that has ended."""
        code, kind = ("MAX_CONCURRENT_RUNS_EXCEEDED", "CLIENT_ERROR")
        if run_id not in self.skipped:
            code, kind = ("SUCCESS", "SUCCESS")
        status = {"state": "TERMINATED", "termination_details": {"code": code, "type": kind}}
        return {"run_id": run_id, "job_id": JOB_ID, "status": status, "end_time": 1_800_000_000_000 + run_id}

    def page(self, start: int) -> dict[str, Any]:
        more = start + 24 < len(self.active)
        return {
            "runs": self.active[start : start + 24],
            "has_more": more,
            **({"next_page_token": str(start + 24)} if more else {}),
        }


def run(run_id: int, state: str = "RUNNING", **fields: Any) -> dict[str, Any]:
    return {"run_id": run_id, "job_id": JOB_ID, "state": {"life_cycle_state": state}, **fields}


def child(run_id: int, parent: int) -> dict[str, Any]:
    """Return a run that a *Run Job* task of another run started."""
    return run(run_id, job_id=77, trigger="RUN_JOB_TASK", trigger_info={"run_id": parent})


@asynccontextmanager
async def claiming(folder: Path, cap: int) -> AsyncIterator[tuple[Listing, DeliveredUseCases]]:
    database = Database(folder)
    listing = Listing()
    async with Workspace().serve() as server, connected(server) as client:
        server.replies = [listing.reply]
        usecases = DeliveredUseCases(
            store=Store(Pool(database.connector)),
            runs={"default": client},
            workspaces={"default": workspace(cap=cap)},
        )
        yield listing, usecases
        await usecases.store.pool.close()


async def claimed(usecases: DeliveredUseCases, ids: list[int]) -> int:
    """Make a pass and return how many of the entries were claimed."""
    assert await usecases.trigger() == []
    entries = [await usecases.entry(entry_id) for entry_id in ids]
    return sum(entry.status is Status.QUEUED for entry in entries)


async def test_foreign_runs_that_are_queued_take_no_slot(tmp_path: Path) -> None:
    """Of 200 foreign runs, 199 wait in Databricks' own queue; the cap of 130 was full of them."""
    async with claiming(tmp_path, cap=130) as (listing, usecases):
        listing.active = [run(1000, job_id=9), *(run(1001 + n, "QUEUED", job_id=9) for n in range(199))]
        ids = await usecases.add(*(f"t{number}" for number in range(200)))
        assert await claimed(usecases, ids) == 129


async def test_children_of_our_runs_take_no_slot(tmp_path: Path) -> None:
    """Each of five runs starts three others; the cap of ten is half full all the same."""
    async with claiming(tmp_path, cap=10) as (listing, usecases):
        await usecases.add(*(f"t{number}" for number in range(5)))
        await usecases.trigger()
        await usecases.deliver()
        assert listing.started == 5
        listing.active += [child(100 * parent + n, parent) for parent in range(1, 6) for n in range(3)]
        ids = await usecases.add(*(f"u{number}" for number in range(10)))
        assert await claimed(usecases, ids) == 5


async def test_children_of_foreign_runs_take_no_slot_but_their_parent_does(tmp_path: Path) -> None:
    async with claiming(tmp_path, cap=3) as (listing, usecases):
        listing.active = [run(1000, job_id=9), child(1001, 1000), child(1002, 1000)]
        assert await claimed(usecases, await usecases.add("a", "b", "c")) == 2


async def test_foreign_runs_of_the_entries_job_count_for_its_limit(tmp_path: Path) -> None:
    async with claiming(tmp_path, cap=130) as (listing, usecases):
        listing.max_concurrent_runs = 4
        listing.active = [run(1000), run(1001), run(1002, "QUEUED"), run(1003, job_id=9)]
        assert await claimed(usecases, await usecases.add("a", "b", "c")) == 2


async def test_a_job_whose_limit_cannot_be_read_has_none(tmp_path: Path) -> None:
    async with claiming(tmp_path, cap=130) as (listing, usecases):
        listing.max_concurrent_runs = None
        assert await claimed(usecases, await usecases.add("a", "b", "c")) == 3


async def test_a_job_that_cannot_be_read_is_not_run_into_its_limit_again_and_again(tmp_path: Path) -> None:
    """20 entries on a job that runs two at a time: what ran beside a skipped run is taken for the limit."""
    async with claiming(tmp_path, cap=130) as (listing, usecases):
        listing.max_concurrent_runs, listing.hidden_limit = None, 2
        await usecases.add(*(f"t{number}" for number in range(20)), parameter_style="notebook_params")
        await usecases.trigger()
        await usecases.deliver()
        assert (listing.started, len(listing.skipped)) == (20, 18)
        ids = await usecases.add(*(f"u{number}" for number in range(20)))
        assert await claimed(usecases, ids) == 0, "two runs go on"
        listing.active = []
        assert await claimed(usecases, ids) == 2
        usecases.clock.time += 301
        assert await claimed(usecases, ids) == 4, "the limit may be another one by now"
