"""Lists of active runs that are long, slow, broken or endless: what is settled, claimed and told anyway.

The servers take as long as they say, on a loop whose time jumps.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.passes import PassLog
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.reports import Reports
from orchestrator.core import pass_budget
from orchestrator.core.reports import Known, KnownWorkspace
from orchestrator.core.states import Status
from orchestrator.usecases.listing import ActiveList
from orchestrator.usecases.overview import ActiveRuns, Overview
from orchestrator.usecases.timer_pass import OK, TIMER_FUNCTIONS
from tests.databricks.support import Tokens
from tests.jumping import JumpingLoop, LoopClock, run_jumping
from tests.use_cases.answering import UNAVAILABLE, JobsApi, ended, goes_on, served
from tests.world import Database, DeliveredUseCases, policy, workspace

SUCCESS = ended("SUCCESS", "SUCCESS")

#: Runs in a page.
PAGE = 24


async def at_once() -> None:
    """Take no time."""


@dataclass
class PagedApi(JobsApi):
    """The Jobs API with foreign runs in pages, each of which takes its time. The newest runs come first."""

    page_seconds: float = 0.8
    foreign: list[dict[str, Any]] = field(default_factory=list)
    #: called with the number of the page before it is sent; a response is sent in its place
    before_page: Callable[[int], web.Response | None] = lambda _: None
    #: called before a run is sent
    before_get: Callable[[], Awaitable[None]] = at_once
    #: how often each page was asked for
    pages: Counter[int] = field(default_factory=Counter)

    async def handle(self, request: web.Request) -> web.Response:
        if request.path.endswith("runs/get"):
            await self.before_get()
        if not request.path.endswith("runs/list") or "runs/list" in self.answers:
            return await super().handle(request)
        number = int(request.query.get("page_token", "0"))
        self.calls.append("runs/list")
        self.pages[number] += 1
        await asyncio.sleep(self.page_seconds)
        if (instead := self.before_page(number)) is not None:
            return instead
        return self._page(number)

    def _page(self, number: int) -> web.Response:
        ours = [
            {"run_id": run_id, "job_id": 5, **run}
            for run_id, run in reversed(self.runs.items())
            if "end_time" not in run and run_id not in self.unlisted
        ]
        runs = [*ours, *self.foreign]
        more = (number + 1) * PAGE < len(runs)
        token = {"next_page_token": str(number + 1)} if more else {}
        return web.json_response({"runs": runs[number * PAGE :][:PAGE], "has_more": more, **token})


def foreign(count: int, state: str) -> list[dict[str, Any]]:
    return [{"run_id": 500_000 + n, "job_id": 9, **goes_on(state)} for n in range(count)]


@dataclass(kw_only=True)
class SlowWorld(DeliveredUseCases):
    """The app and a workspace with long lists, on one clock."""

    api: PagedApi
    database: Database

    async def begin(self, *tables: str) -> list[int]:
        """Bring an entry for each table to its run, while nobody else has any."""
        ids = await self.add(*tables)
        assert await self.trigger() == []
        await self.deliver()
        return ids

    async def timed(self, work: Callable[[], Coroutine[Any, Any, list[str]]]) -> tuple[list[str], float]:
        """Make a pass within the work of a timer function; return its problems and how long it took."""
        began = self.clock.monotonic()
        async with asyncio.timeout(pass_budget.WORK_SECONDS):
            problems = await work()
        return problems, self.clock.monotonic() - began

    @staticmethod
    def jumped() -> float:
        """Return by how many seconds time has jumped: what a server takes, without the machine's own pace."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, JumpingLoop)
        return loop.jumped

    async def states(self, ids: list[int]) -> list[str]:
        return [(await self.entry(entry_id)).status for entry_id in ids]

    async def health(self, outcome: str = OK, lists: Mapping[str, ActiveList] | None = None) -> list[str]:
        """Return the reasons in health after passes with this outcome."""
        log = PassLog(self.store.pool)
        for name in TIMER_FUNCTIONS:
            await log.pass_started(name)
            await log.pass_finished(name, outcome)
        known = Known(
            workspaces=(KnownWorkspace(name="default", host="https://x", job_id=5, cap=130),),
            policy=policy(),
            pass_late_seconds=600,
        )
        overview = Overview(
            reports=Reports(self.store.pool),
            pass_log=log,
            check_schema=self._check_schema,
            schema_version=1,
            known=known,
            active=ActiveRuns(self.runs, self.clock, lists),
        )
        return list((await overview.health()).reasons)

    async def _check_schema(self) -> None:
        return


@asynccontextmanager
async def slow(folder: Path, eu: JobsApi | None = None) -> AsyncIterator[SlowWorld]:
    """Serve a workspace, and perhaps another one, and wire the app to them."""
    api = PagedApi(answers={"get": (200, {"job_id": 5, "settings": {"max_concurrent_runs": 1000}})})
    apis: dict[str, JobsApi] = {"default": api} if eu is None else {"default": api, "eu": eu}
    loop, clock = asyncio.get_running_loop(), LoopClock()
    start = datetime(2030, 1, 1, tzinfo=UTC).timestamp() - loop.time()
    database = Database(folder, now=lambda: datetime.fromtimestamp(start + loop.time(), UTC))
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        runs = {
            name: DatabricksClient(
                host=await stack.enter_async_context(served(each)),
                tokens=Tokens(),
                session=lambda: session,
                clock=clock,
            )
            for name, each in apis.items()
        }
        world = SlowWorld(
            store=Store(Pool(database.connector)),
            runs=runs,
            workspaces={name: workspace(name, cap=130) for name in apis},
            clock=clock,
            api=api,
            database=database,
        )
        stack.push_async_callback(world.store.pool.close)
        yield world


def test_three_thousand_foreign_runs_in_the_queue_keep_nobody_waiting(tmp_path: Path) -> None:
    """125 pages of 0.8 s are read to their end: queued runs take no slot, so the cap has room."""

    async def scenario() -> None:
        async with slow(tmp_path) as world:
            ids = await world.begin(*(f"t{n}" for n in range(20)))
            world.api.foreign = foreign(3000, "QUEUED")
            for run_id in list(world.api.runs)[:15]:
                world.api.runs[run_id] = SUCCESS
            waiting = await world.add(*(f"u{n}" for n in range(200)))
            jumped = world.jumped()
            problems, _ = await world.timed(world.trigger)
            assert (problems, world.jumped() - jumped < 110) == ([], True)
            assert all(world.api.pages[number] for number in range(125))
            states = Counter(await world.states(ids))
            assert states == {Status.DONE: 15, Status.RUNNING: 5}
            assert Counter(await world.states(waiting)) == {Status.QUEUED: 125, Status.PENDING: 75}
            assert max(world.api.pages.values()) <= 2 + 1, "one list a pass, and its first page again"

    run_jumping(scenario())


def test_three_thousand_foreign_runs_that_run_leave_no_slot_and_are_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with slow(tmp_path) as world:
            ids = await world.begin(*(f"t{n}" for n in range(20)))
            world.api.foreign = foreign(3000, "RUNNING")
            for run_id in list(world.api.runs)[:15]:
                world.api.runs[run_id] = SUCCESS
            waiting = await world.add(*(f"u{n}" for n in range(10)))
            problems, _ = await world.timed(world.trigger)
            assert problems == []
            assert Counter(await world.states(ids)) == {Status.DONE: 15, Status.RUNNING: 5}
            assert set(await world.states(waiting)) == {Status.PENDING}
            await asyncio.sleep(600)
            [reason] = await world.health()
            assert reason.startswith("entries of workspace default wait: foreign runs take at least 139 of")
            assert "job 9: 139" in reason

    run_jumping(scenario())


def test_health_knows_a_long_list_from_the_trigger(tmp_path: Path) -> None:
    """The runs that take slots are on its last page, which health has no time to read."""

    async def scenario() -> None:
        async with slow(tmp_path) as world:
            world.api.foreign = foreign(2900, "QUEUED") + foreign(3000, "RUNNING")[2900:]
            await world.add(*(f"u{n}" for n in range(50)))
            trigger = world.make_trigger()
            assert await trigger() == []
            await world.deliver()
            await asyncio.sleep(400)
            assert await trigger() == []
            [unknown] = await world.health()
            assert "cannot be listed" in unknown
            [reason] = await world.health(lists=trigger.lists)
            assert "foreign runs take 100 of its 130 slots" in reason

    run_jumping(scenario())


def test_list_that_cannot_be_read_in_time_claims_nothing_and_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with slow(tmp_path) as world:
            ids = await world.begin("a", "b")
            world.api.foreign = foreign(9000, "QUEUED")
            world.api.runs[1000] = SUCCESS
            waiting = await world.add("c")
            problems, seconds = await world.timed(world.trigger)
            assert await world.states(ids) == [Status.DONE, Status.RUNNING]
            assert await world.states(waiting) == [Status.PENDING]
            [list_problem, claim_problem] = problems
            assert "not done within 145 s" in list_problem
            assert "nothing claimed" in claim_problem
            assert "active runs)" in claim_problem
            assert seconds < 165
            await asyncio.sleep(600)
            [reason] = await world.health(claim_problem)
            assert "its active runs cannot be listed" in reason
            assert claim_problem in reason

    run_jumping(scenario())


def test_part_of_a_list_that_fills_the_cap_says_that_no_slot_is_free(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with slow(tmp_path) as world:
            world.api.foreign = foreign(9000, "RUNNING")
            await world.add("c")
            [problem], _ = await world.timed(world.trigger)
            assert "no slot is free: " in problem
            assert "or more runs take its 130" in problem

    run_jumping(scenario())


def test_missing_run_is_believed_although_the_list_comes_after_the_looks(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with slow(tmp_path) as world:
            [lost, good] = await world.begin("a", "b")
            world.api.foreign = foreign(3000, "QUEUED")
            await asyncio.sleep(200)
            del world.api.runs[1000]
            for _ in range(3):
                await world.timed(world.monitor)
            assert await world.states([lost, good]) == [Status.FAILED, Status.RUNNING]

    run_jumping(scenario())


def test_foreign_runs_that_begin_while_a_long_list_is_read_are_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with slow(tmp_path) as world:
            world.api.foreign = foreign(3000, "QUEUED")
            newer = [{"run_id": 900_000 + n, "job_id": 9, **goes_on("RUNNING")} for n in range(100)]

            def before_page(number: int) -> None:
                if number == 60 and newer:
                    world.api.foreign = [*newer, *world.api.foreign]
                    newer.clear()

            world.api.before_page = before_page
            waiting = await world.add(*(f"u{n}" for n in range(200)))
            assert (await world.timed(world.trigger))[0] == []
            assert Counter(await world.states(waiting))[Status.QUEUED] == 30

    run_jumping(scenario())


def test_a_pass_lists_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with slow(tmp_path) as world:
            await world.begin("a", "b")
            world.api.pages.clear()
            await world.add("c")
            assert (await world.timed(world.trigger))[0] == []
            assert world.api.pages == {0: 1}

    run_jumping(scenario())


def test_a_list_that_is_out_of_date_after_settling_is_read_again(tmp_path: Path) -> None:
    """Foreign runs begin while the end of a run is looked up for a minute."""

    async def scenario() -> None:
        async with slow(tmp_path) as world:
            await world.begin(*(f"t{n}" for n in range(20)))
            for run_id in world.api.runs:
                world.api.runs[run_id] = SUCCESS
            world.api.pages.clear()

            async def before_get() -> None:
                await asyncio.sleep(20)
                world.api.foreign = foreign(125, "RUNNING")

            world.api.before_get = before_get
            waiting = await world.add(*(f"u{n}" for n in range(20)))
            problems, _ = await world.timed(world.trigger)
            assert problems == []
            assert Counter(await world.states(waiting)) == {Status.QUEUED: 5, Status.PENDING: 15}
            assert world.api.pages[0] == 2

    run_jumping(scenario())


def settling_slowly(world: SlowWorld, seconds: float) -> None:
    """Let each look at a run take its time, and let twenty runs end."""

    async def before_get() -> None:
        await asyncio.sleep(seconds)

    world.api.before_get = before_get
    for run_id in [each for each, run in world.api.runs.items() if "end_time" not in run][:20]:
        world.api.runs[run_id] = SUCCESS


@pytest.mark.parametrize("pages", [10, 26, 50, 100])
def test_a_list_that_cannot_be_read_again_in_time_is_used(tmp_path: Path, pages: int) -> None:
    """It is whole, and settling goes on long after it: it would be out of date in every pass."""

    async def scenario() -> None:
        async with slow(tmp_path) as world:
            await world.begin(*(f"t{n}" for n in range(60)))
            world.api.foreign = foreign(pages * PAGE, "QUEUED")
            settling_slowly(world, 25)
            waiting = await world.add("waits")
            problems, _ = await world.timed(world.trigger)
            assert (problems, await world.states(waiting)) == ([], [Status.QUEUED])

    run_jumping(scenario())


def test_foreign_runs_that_begin_while_runs_are_settled_after_a_long_list_are_counted(tmp_path: Path) -> None:
    """A part of the second list has them: the newest runs come first."""

    async def scenario() -> None:
        async with slow(tmp_path) as world:
            await world.begin(*(f"t{n}" for n in range(20)))
            world.api.foreign = foreign(50 * PAGE, "QUEUED")
            settling_slowly(world, 25)
            newer = [{"run_id": 900_000 + n, "job_id": 9, **goes_on("RUNNING")} for n in range(100)]

            async def begin_when_listed() -> None:
                await asyncio.sleep(25)
                if world.api.pages[49] and newer:
                    world.api.foreign = [*newer, *world.api.foreign]
                    newer.clear()

            world.api.before_get = begin_when_listed
            waiting = await world.add(*(f"u{n}" for n in range(200)))
            problems, _ = await world.timed(world.trigger)
            assert (problems, newer) == ([], [])
            assert Counter(await world.states(waiting))[Status.QUEUED] == 30

    run_jumping(scenario())


def test_a_notification_does_not_read_a_list_that_is_too_long_for_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with slow(tmp_path) as world:
            world.api.foreign = foreign(50 * PAGE, "QUEUED")
            trigger = world.make_trigger()
            assert await trigger() == []
            world.api.pages.clear()
            assert "nothing claimed before the next pass" in await trigger.fill("default")
            assert not world.api.pages

    run_jumping(scenario())


@dataclass
class SilentApi(JobsApi):
    """A workspace that takes requests and never answers."""

    async def handle(self, request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError(request.path)


class DeadApi(JobsApi):
    """A workspace that closes every connection."""

    async def handle(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.close()
        return web.Response()


@dataclass
class EndlessApi(JobsApi):
    """A workspace whose list of active runs has no end."""

    async def handle(self, request: web.Request) -> web.Response:
        if not request.path.endswith("runs/list"):
            return await super().handle(request)
        await asyncio.sleep(0.8)
        page = int(request.query.get("page_token", "0"))
        return web.json_response({"runs": foreign(1, "QUEUED"), "next_page_token": str(page + 1)})


@pytest.mark.parametrize("neighbour", [SilentApi, DeadApi, EndlessApi])
@pytest.mark.parametrize("pages", [1, 31, 120])
def test_a_workspace_claims_before_a_neighbour_has_answered(
    tmp_path: Path, neighbour: type[JobsApi], pages: int
) -> None:
    async def scenario() -> None:
        async with slow(tmp_path, eu=neighbour()) as world:
            world.api.foreign = foreign(pages * PAGE, "QUEUED")
            for number in range(2):
                [waiting] = await world.add(f"t{number}")
                [in_eu] = await world.add(f"t{number}", workspace="eu")
                began = await world.store.now()
                problems, _ = await world.timed(world.trigger)
                claimed_at = (await world.entry(waiting)).claimed_at
                assert claimed_at is not None
                assert (claimed_at - began).total_seconds() < pages * 0.8 + 10
                assert await world.states([waiting, in_eu]) == [Status.QUEUED, Status.PENDING]
                assert problems
                assert all("workspace eu" in problem for problem in problems)

    run_jumping(scenario())


BROKEN: dict[str, Callable[[int], web.Response | None]] = {
    "fails in the middle": lambda n: web.json_response(UNAVAILABLE[1], status=503) if n == 60 else None,
    "429 in the middle": lambda n: web.json_response({}, status=429) if n == 60 else None,
    "not JSON in the middle": lambda n: web.Response(text="<html>") if n == 60 else None,
    "loops": lambda _: web.json_response({"runs": foreign(24, "QUEUED"), "next_page_token": "3"}),
    "repeats its pages": lambda n: web.json_response(
        {"runs": foreign(24, "QUEUED"), "next_page_token": str(n + 1)}
    ),
    "empty pages without end": lambda n: web.json_response({"has_more": True, "next_page_token": str(n + 1)}),
    "an error at a page": lambda n: web.json_response({"error_code": "X"}) if n == 60 else None,
}


@pytest.mark.parametrize("how", list(BROKEN))
def test_entries_are_settled_whatever_becomes_of_the_list(tmp_path: Path, how: str) -> None:
    async def scenario() -> None:
        async with slow(tmp_path) as world:
            ids = await world.begin("a", "b")
            world.api.foreign = foreign(3000, "QUEUED")
            world.api.runs[1000] = SUCCESS
            world.api.before_page = BROKEN[how]
            waiting = await world.add("c")
            problems, _ = await world.timed(world.trigger)
            assert await world.states(ids) == [Status.DONE, Status.RUNNING]
            assert await world.states(waiting) == [Status.PENDING]
            assert any("nothing claimed" in problem for problem in problems)
            world.api.before_page = lambda _: None
            await asyncio.sleep(60)
            assert (await world.timed(world.trigger))[0] == []
            assert await world.states(waiting) == [Status.QUEUED]

    run_jumping(scenario())


def test_faults_that_pass_in_the_middle_of_a_list_cost_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with slow(tmp_path) as world:
            world.api.foreign = foreign(3000, "QUEUED")
            faults = {40: 503, 80: 429}

            def before_page(number: int) -> web.Response | None:
                status = faults.pop(number, None)
                return None if status is None else web.json_response({}, status=status)

            world.api.before_page = before_page
            waiting = await world.add("c")
            assert (await world.timed(world.trigger))[0] == []
            assert await world.states(waiting) == [Status.QUEUED]

    run_jumping(scenario())
