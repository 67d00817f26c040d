"""A workspace that hangs does not slow down another one: two real servers, on a loop whose time jumps."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from orchestrator.adapters.databricks.client import DatabricksClient
from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.pool import Pool
from orchestrator.core import pass_budget
from orchestrator.core.models import Claim
from orchestrator.core.states import Status
from tests.databricks.support import Tokens
from tests.fakes import FakeQueue
from tests.jumping import LoopClock, run_jumping
from tests.use_cases.answering import JobsApi, ended, goes_on, served
from tests.world import Database, DeliveredUseCases, workspace


@dataclass
class HangingApi(JobsApi):
    """A workspace that accepts connections and never answers these calls."""

    hanging: frozenset[str] = frozenset()

    async def handle(self, request: web.Request) -> web.Response:
        if request.path.removeprefix("/api/2.2/jobs/") in self.hanging:
            await asyncio.Event().wait()
        return await super().handle(request)


class HangingTokens(Tokens):
    """Key Vault or Entra ID never answers."""

    async def token(self) -> str:
        await asyncio.Event().wait()
        raise AssertionError


@dataclass
class TimedApi(JobsApi):
    """A workspace that notes when its active runs are listed."""

    listed_at: list[float] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        if request.path.endswith("runs/list"):
            self.listed_at.append(asyncio.get_running_loop().time())
        return await super().handle(request)


@dataclass
class SlowQueue(FakeQueue):
    """Takes its time for each batch."""

    async def send(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        await asyncio.sleep(pass_budget.CLAIM_SECONDS + 9)
        return await super().send(claims)


@asynccontextmanager
async def two(
    folder: Path, good: TimedApi, other: JobsApi, tokens: Tokens
) -> AsyncIterator[tuple[DeliveredUseCases, Database]]:
    database = Database(folder)
    clock = LoopClock()
    async with served(good) as good_host, served(other) as other_host, aiohttp.ClientSession() as session:

        def client(host: str, tokens: Tokens) -> DatabricksClient:
            return DatabricksClient(host=host, tokens=tokens, session=lambda: session, clock=clock)

        world = DeliveredUseCases(
            store=Store(Pool(database.connector)),
            runs={"good": client(good_host, Tokens()), "other": client(other_host, tokens)},
            workspaces={"good": workspace("good"), "other": workspace("other")},
            clock=clock,
        )
        yield world, database
        await world.store.pool.close()


HANGS = [
    pytest.param(HangingApi(hanging=frozenset({"runs/list"})), Tokens(), id="list"),
    pytest.param(HangingApi(hanging=frozenset({"runs/list", "runs/get", "get"})), Tokens(), id="everything"),
    pytest.param(JobsApi(), HangingTokens(), id="token"),
]


@pytest.mark.parametrize(("other", "tokens"), HANGS)
@pytest.mark.parametrize("function", ["trigger", "monitor"])
def test_a_workspace_that_hangs_does_not_slow_down_another_one(
    tmp_path: Path, other: JobsApi, tokens: Tokens, function: str
) -> None:
    """Three passes by a timer of a minute, whose next pass begins when the one before is over."""

    async def run() -> None:
        good = TimedApi()
        async with two(tmp_path, good, other, tokens) as (world, database):
            await world.add("stuck", workspace="other")
            await world.add("sales", workspace="good")
            database.execute(
                "UPDATE track_processing SET status = 'RUNNING', submission = 1, runid = 999 + id"
            )
            good.runs[1001] = goes_on()
            now = asyncio.get_running_loop().time
            lengths = []
            for _ in range(3):
                began = now()
                await {"trigger": world.trigger, "monitor": world.monitor}[function]()
                lengths.append(now() - began)
                await asyncio.sleep(max(0, 60 - lengths[-1]))
            pauses = [after - before for before, after in pairwise([*good.listed_at, now()])]
            assert max(pauses) <= 61, "as often as the timer begins a pass"
            assert max(lengths) <= pass_budget.WORK_SECONDS
            assert max(lengths) > 61, "the workspace that hangs is waited for"

    run_jumping(run())


def test_entries_that_come_while_another_workspace_hangs_are_claimed_and_settled(tmp_path: Path) -> None:
    async def run() -> None:
        good = TimedApi()
        other = HangingApi(hanging=frozenset({"runs/list"}))
        async with two(tmp_path, good, other, Tokens()) as (world, _):
            ids: list[int] = []

            async def begin_and_end() -> None:
                await world.deliver()
                for run_id in good.runs:
                    good.runs[run_id] = ended("SUCCESS", "SUCCESS")
                ids.extend(await world.add(f"t{len(ids)}", workspace="good"))

            good.before_list = begin_and_end
            async with asyncio.timeout(pass_budget.WORK_SECONDS):
                await world.trigger()
            states = [(await world.entry(entry_id)).status for entry_id in ids]
            assert len(states) >= 3
            assert states[:-2] == [Status.DONE] * (len(states) - 2)

    run_jumping(run())


def test_what_was_claimed_is_sent_although_the_time_for_it_is_over(tmp_path: Path) -> None:
    async def run() -> None:
        async with two(tmp_path, TimedApi(), JobsApi(), Tokens()) as (world, _):
            world.queue = SlowQueue()
            [entry_id] = await world.add("sales", workspace="good")
            assert await world.trigger() == ["workspace good: claiming took over 55 s"]
            assert [claim.entry_id for claim in world.queue.sent] == [entry_id]

    run_jumping(run())
