"""Lists of active runs that are out of date: what a pass looks up although it is listed; over HTTP."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from orchestrator.core import pass_budget
from orchestrator.core.states import Status
from tests.jumping import run_jumping
from tests.use_cases.answering import UNAVAILABLE, AnsweredWorld, JobsApi, answering, ended, goes_on
from tests.use_cases.test_long_lists import slow
from tests.world import workspace

SUCCESS = ended("SUCCESS", "SUCCESS")


@dataclass
class ApiOfAnOldList(JobsApi):
    """The Jobs API; a job has room for all runs. Its list may be out of date."""

    #: so many runs more are over when they are looked up
    over: int = 0

    def list_as_it_is(self) -> None:
        """Show from now on the runs that go on now."""
        listed = [{"run_id": run_id, "job_id": 5, **goes_on()} for run_id in self.runs]
        self.answers["runs/list"] = (200, {"runs": listed})

    def end_all(self) -> None:
        """Let all runs be over."""
        self.runs |= dict.fromkeys(self.runs, SUCCESS)

    @property
    def looks(self) -> int:
        """Return how many runs were looked up."""
        return self.calls.count("runs/get")

    def _get_job(self, body: dict[str, Any]) -> web.Response:
        return web.json_response({"job_id": int(body["job_id"]), "settings": {"max_concurrent_runs": 1000}})

    def _get(self, body: dict[str, Any]) -> web.Response:
        if self.over > 0:
            self.over -= 1
            self.runs[int(body["run_id"])] = SUCCESS
        return super()._get(body)


@dataclass(kw_only=True)
class World(AnsweredWorld):
    """The app and a workspace whose list may be out of date."""

    api: ApiOfAnOldList

    async def begin(self, runs: int) -> list[int]:
        """Bring so many entries to their runs, which are old and listed from now on."""
        ids = await self.add(*(f"t{n}" for n in range(runs)))
        await self.trigger()
        await self.deliver()
        self.database.pass_time(900)
        self.database.stop_clock()  # whose turn it is does not depend on the machine's pace
        self.api.list_as_it_is()
        return ids

    async def passes(self, count: int) -> None:
        """Make passes, two a minute."""
        for _ in range(count):
            self.database.pass_time(30)
            assert await self.monitor() == []

    async def states(self, ids: list[int]) -> Counter[Status | str]:
        """Count the entries in each state."""
        return Counter([(await self.entry(entry_id)).status for entry_id in ids])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with answering(tmp_path, ApiOfAnOldList()) as made:
        assert isinstance(made.api, ApiOfAnOldList)
        yield World(
            store=made.store,
            runs=made.runs,
            workspaces={"default": workspace(cap=300)},
            api=made.api,
            database=made.database,
        )


@pytest.mark.parametrize(("runs", "looks"), [(1, 1), (100, 5), (200, 8)])
async def test_a_list_that_is_right_costs_a_few_looks_in_a_pass(world: World, runs: int, looks: int) -> None:
    await world.begin(runs)
    await world.passes(3)
    assert world.api.looks == 3 * looks


async def test_a_list_that_is_wrong_is_corrected_in_one_pass(world: World) -> None:
    ids = await world.begin(200)
    world.api.end_all()
    await world.passes(1)
    assert await world.states(ids) == {Status.DONE: 200}
    assert world.api.looks == 200, "no run is looked up twice"


async def test_looks_end_with_a_round_that_finds_the_list_right(world: World) -> None:
    ids = await world.begin(200)
    world.api.over = 8
    await world.passes(1)
    assert await world.states(ids) == {Status.DONE: 8, Status.RUNNING: 192}
    assert world.api.looks == 8 + 16
    world.api.over = 9
    await world.passes(1)
    assert await world.states(ids) == {Status.DONE: 17, Status.RUNNING: 183}
    assert world.api.looks == 8 + 16 + 8 + 16 + 32


@pytest.mark.parametrize("place", [0, 50, 99])
async def test_a_single_run_that_is_over_is_found_in_its_turn(world: World, place: int) -> None:
    ids = await world.begin(100)
    world.api.runs[1000 + place] = SUCCESS
    await world.passes(23)
    assert await world.states(ids) == {Status.DONE: 1, Status.RUNNING: 99}
    assert world.api.looks <= 23 * 5 + 10, "one of the passes looks at ten more"


@pytest.mark.parametrize(
    "answer",
    [
        UNAVAILABLE,
        (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Run 1000 does not exist."}),
        (200, {"run_id": 1000, "state": {"life_cycle_state": "TERMINATED"}}),
        (200, {"run_id": 1000, "status": {"state": "SOMETHING_NEW"}}),
    ],
)
async def test_second_look_at_a_listed_run_that_tells_no_end_changes_nothing(
    world: World, answer: tuple[int, dict[str, Any]]
) -> None:
    entry = await world.running()
    world.api.answers["runs/get"] = answer
    for _ in range(5):
        world.database.pass_time(1800)
        assert await world.monitor() == []
    left = await world.entry(entry.id)
    assert (left.status, left.last_error, left.missing_since) == (Status.RUNNING, None, None)


def test_looks_at_a_list_that_is_wrong_leave_time_for_all_other_entries(tmp_path: Path) -> None:
    """Each look takes 9 s, so that all of them would take more than settling may."""

    async def scenario() -> None:
        async with slow(tmp_path) as world:
            ids = await world.begin(*(f"t{n}" for n in range(130)))
            world.database.pass_time(900)
            for entry_id in ids:
                assert await world.cancel(entry_id)
            listed = [{"run_id": run_id, "job_id": 5, **goes_on()} for run_id in world.api.runs]
            world.api.answers["runs/list"] = (200, {"runs": listed})
            world.api.runs |= dict.fromkeys(world.api.runs, SUCCESS)
            world.api.before_get = lambda: asyncio.sleep(9)
            problems, _ = await world.timed(world.monitor)
            assert problems == []
            states = Counter(await world.states(ids))
            assert states[Status.DONE] >= 7 + 14
            assert len(world.api.cancelled) >= 130 - 7 - 14 - 28

    run_jumping(scenario())


def test_a_look_that_hangs_delays_no_end_of_a_run_that_left_the_list(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with slow(tmp_path) as world:
            ids = await world.begin("a", "b")
            world.database.pass_time(900)
            over, *_ = sorted(world.api.runs)
            world.api.runs[over] = SUCCESS
            world.api.before_get = lambda: asyncio.sleep(5)
            before = world.jumped()
            await world.monitor()
            assert world.jumped() - before < 6, "both looks were made at once"
            assert await world.states(ids) == [Status.DONE, Status.RUNNING]

    run_jumping(scenario())


def test_looks_that_were_cut_off_leave_their_entries_to_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancellation is asked for although the look at its listed run had no answer in time."""

    async def scenario() -> None:
        async with slow(tmp_path) as world:
            [entry_id] = await world.begin("a")
            world.database.pass_time(900)
            assert await world.cancel(entry_id)
            world.api.before_get = lambda: asyncio.sleep(9)
            await world.monitor()
            assert world.api.cancelled == [1000]

    monkeypatch.setattr(pass_budget, "SECOND_LOOKS_SECONDS", 5.0)
    run_jumping(scenario())
