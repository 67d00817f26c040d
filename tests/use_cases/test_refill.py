"""Claims between two passes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core import pass_budget
from orchestrator.core.errors import RequestRefused
from orchestrator.core.models import ActiveRun, Job, NewEntry, Run
from orchestrator.core.states import Status
from orchestrator.usecases.jobs import Jobs
from orchestrator.usecases.refill import Refill
from tests.empty_store import make_empty_store
from tests.fakes import FakeQueue, FakeRuns
from tests.world import UseCases, workspace


class CountedRuns(FakeRuns):
    """Counts how often its active runs are listed, and may hold the list back."""

    def __init__(self) -> None:
        super().__init__()
        self.listings = 0
        self.is_listing, self.may_list = asyncio.Event(), asyncio.Event()
        self.may_list.set()

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
        self.listings += 1
        self.is_listing.set()
        await self.may_list.wait()
        return await super().active_runs(seconds=seconds)


@dataclass(kw_only=True)
class World(UseCases):
    """The app with one such workspace, which has one slot."""

    api: CountedRuns
    sender: FakeQueue

    async def insert(self, *tables: str) -> list[int]:
        """Insert entries, and return their ids."""
        return list(await Operations(self.store.pool).add([NewEntry(table_name=table) for table in tables]))

    async def deliver(self) -> None:
        """Submit what was sent."""
        while self.sender.sent:
            await self.submit(self.sender.sent.pop(0))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = Store(Pool(SqliteConnector(make_empty_store(tmp_path / "state.db"))))
    api, sender = CountedRuns(), FakeQueue()
    yield World(
        store=store,
        runs={"default": api},
        workspaces={"default": workspace(cap=1)},
        queue=sender,
        api=api,
        sender=sender,
    )
    await store.pool.close()


async def test_a_monitor_pass_that_frees_a_slot_claims_for_it(world: World) -> None:
    first, second = await world.insert("a", "b")
    await world.trigger()
    await world.deliver()
    assert await world.watch() == []
    assert world.sender.sent == [], "the run goes on"
    [run_id] = world.api.runs
    world.api.end(run_id, "SUCCESS")
    listings = world.api.listings
    assert await world.watch() == []
    assert [claim.entry_id for claim in world.sender.sent] == [second]
    assert world.api.listings == listings + 1, "it claims by the list of its own look"
    assert (await world.entry(first)).status is Status.DONE


async def test_a_monitor_pass_that_frees_nothing_claims_nothing(world: World) -> None:
    await world.insert("a")
    assert await world.watch() == []
    assert (world.sender.sent, world.api.listings) == ([], 0)


async def test_a_monitor_pass_claims_nothing_while_it_does_not_know_how_many_runs_a_job_takes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(_: int) -> Job:
        await asyncio.Event().wait()
        raise AssertionError

    await world.insert("a", "b")
    await world.trigger()
    await world.deliver()
    [run_id] = world.api.runs
    world.api.end(run_id, "SUCCESS")
    world.jobs = Jobs(runs=world.runs, workspaces=world.workspaces, clock=world.clock)  # of another instance
    monkeypatch.setattr(world.api, "get_job", hang)
    monkeypatch.setattr(pass_budget, "NEW_JOBS_SECONDS", 0.01)
    assert await world.watch() == []
    assert world.sender.sent == []


async def test_a_job_that_may_be_run_but_not_read_has_its_entries_claimed_by_trigger_passes_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its limit is not known although Databricks has answered, and it may be one."""
    read = world.api.get_job

    async def get_job(job_id: int) -> Job:
        if job_id == 77:
            raise RequestRefused("no View on job 77", status=403, error_code="X", permanent=True)
        return await read(job_id)

    monkeypatch.setattr(world.api, "get_job", get_job)
    await world.insert("a")
    await world.trigger()
    await world.deliver()
    await Operations(world.store.pool).add([NewEntry(table_name=table, job_id=77) for table in "bc"])
    [run_id] = world.api.runs
    world.api.end(run_id, "SUCCESS")
    assert await world.watch() == []
    assert world.sender.sent == []


async def test_a_monitor_pass_whose_list_has_become_old_leaves_the_slot_to_a_trigger_pass(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = world.api.get_run

    async def read_slowly(run_id: int, *, with_history: bool = False) -> Run:
        await world.clock.sleep(pass_budget.FRESH_SECONDS + 1)
        return await read(run_id, with_history=with_history)

    _, second = await world.insert("a", "b")
    await world.trigger()
    await world.deliver()
    [run_id] = world.api.runs
    world.api.end(run_id, "SUCCESS")
    monkeypatch.setattr(world.api, "get_run", read_slowly)
    listings = world.api.listings
    assert await world.watch() == []
    assert (world.sender.sent, world.api.listings) == ([], listings + 1), "no second list in one pass"
    await world.trigger()
    assert [claim.entry_id for claim in world.sender.sent] == [second]


async def test_new_entries_are_claimed_at_once_and_then_together(world: World) -> None:
    runs, refill = world.api, Refill(trigger=world.make_trigger(), clock=world.clock)
    runs.may_list.clear()
    [first] = await world.insert("a")
    began = world.clock.monotonic()
    for _ in range(100):
        refill.after_an_insert("default")
    await runs.is_listing.wait()
    assert world.clock.monotonic() == began, "the first claim is not put off"
    for _ in range(100):
        refill.after_an_insert("default")
    runs.may_list.set()
    await refill.close()
    assert [claim.entry_id for claim in world.sender.sent] == [first]
    assert runs.listings == 2
    assert world.clock.monotonic() > began, "the second one is"


async def test_nothing_is_claimed_while_the_trigger_is_off(world: World) -> None:
    refill = Refill(trigger=world.make_trigger(), clock=world.clock, is_off=True)
    await world.insert("a")
    refill.after_an_insert("default")
    await refill.after_an_end("default")
    await refill.close()
    assert (world.api.listings, world.sender.sent) == (0, [])


async def test_entries_of_a_workspace_that_the_settings_do_not_know_start_nothing(world: World) -> None:
    refill = Refill(trigger=world.make_trigger(), clock=world.clock)
    refill.after_an_insert("nowhere")
    await refill.close()
    assert world.api.listings == 0
