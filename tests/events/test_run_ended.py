"""A run is reported as over: its entry is finished, its slot is filled, and a false event changes nothing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestrator.adapters.store.entries import Store
from orchestrator.adapters.store.operations import Operations
from orchestrator.adapters.store.pool import Pool
from orchestrator.adapters.store.sqlite import SqliteConnector
from orchestrator.core.errors import DatabricksError, WorkspaceUnavailable
from orchestrator.core.models import ActiveRun, NewEntry, Run
from orchestrator.core.states import Status
from orchestrator.usecases.refill import Refill
from orchestrator.usecases.run_ended import RunEnded
from tests.empty_store import make_empty_store
from tests.fakes import FakeQueue, FakeRuns
from tests.world import DeliveredUseCases, UseCases, policy, workspace

CAP = 6


@dataclass
class CountingRuns(FakeRuns):
    """Counts the calls that an event costs."""

    calls: list[str] = field(default_factory=list)
    #: blocks the list of active runs until set
    may_list: asyncio.Event = field(default_factory=asyncio.Event)

    async def get_run(self, run_id: int, *, with_history: bool = False) -> Run:
        self.calls.append("get")
        return await super().get_run(run_id, with_history=with_history)

    async def active_runs(self, *, seconds: float | None = None) -> tuple[ActiveRun, ...]:
        self.calls.append("list")
        await self.may_list.wait()
        return await super().active_runs(seconds=seconds)


@dataclass(kw_only=True)
class Desk(DeliveredUseCases):
    """The app's use cases with two workspaces, and the use case that handles events."""

    runs: dict[str, CountingRuns]
    ended: RunEnded

    @classmethod
    def make(cls, store: Store) -> "Desk":
        runs = {"default": CountingRuns(), "eu": CountingRuns()}
        for each in runs.values():
            each.may_list.set()
        parts: dict[str, Any] = {
            "store": store,
            "runs": runs,
            "workspaces": {name: workspace(name, cap=CAP) for name in runs},
            "queue": FakeQueue(),
            "policy": policy(),
        }
        usecases = UseCases(**parts)
        ended = RunEnded(
            store=store,
            runs=runs,
            settle=usecases.make_settle(),
            workspaces=usecases.workspaces,
            refill=Refill(trigger=usecases.make_trigger(), clock=usecases.clock),
        )
        return cls(ended=ended, **parts)

    async def run_of(self, entry_id: int) -> int:
        run_id = (await self.entry(entry_id)).runid
        assert run_id is not None
        return run_id


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """All slots of both workspaces are taken, and as many entries wait."""
    connector = SqliteConnector(make_empty_store(tmp_path / "state.db"))
    made = Desk.make(Store(Pool(connector)))
    new = [NewEntry(table_name=f"table_{number}") for number in range(2 * CAP)]
    await Operations(made.store.pool).add(new)
    await made.trigger()
    await made.deliver()
    for runs in made.runs.values():
        runs.calls.clear()
    yield made
    await made.store.pool.close()


async def test_entry_is_finished_and_its_slot_filled_at_once(desk: Desk) -> None:
    run_id = await desk.run_of(1)
    desk.runs["default"].end(run_id, "SUCCESS")
    assert await desk.ended(run_id)
    assert (await desk.entry(1)).status is Status.DONE
    assert [claim.entry_id for claim in await desk.deliver()] == [CAP + 1]
    assert [log.runid for log in await desk.store.logs(1)] == [run_id]


async def test_repeated_event_changes_nothing(desk: Desk) -> None:
    run_id = await desk.run_of(1)
    desk.runs["default"].end(run_id, "FAILED")
    assert await desk.ended(run_id)
    before, calls = await desk.entry(1), list(desk.runs["default"].calls)
    assert before.status is Status.FAILED
    for _ in range(3):
        assert not await desk.ended(run_id)
    assert await desk.entry(1) == before
    assert desk.runs["default"].calls == [*calls, "get", "get", "get"], "is it active again?"
    assert len(await desk.store.logs(1)) == 1


@pytest.mark.parametrize("run_id", [0, -1, 2**63, 2**70])
async def test_number_that_no_run_can_have_changes_nothing(desk: Desk, run_id: int) -> None:
    assert not await desk.ended(run_id)
    assert desk.runs["default"].calls == []


@pytest.mark.parametrize("end", ["RUNNING", "FAILED", "SUCCESS"])
async def test_repaired_run_is_followed_again(desk: Desk, end: str) -> None:
    run_id = await desk.run_of(1)
    ended = Run(
        run_id=run_id,
        life_cycle_state="TERMINATED",
        result_state="FAILED",
        finished_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    desk.runs["default"].runs[run_id] = ended
    assert await desk.ended(run_id)
    over = end != "RUNNING"
    desk.runs["default"].runs[run_id] = replace(
        ended,
        life_cycle_state="TERMINATED" if over else "RUNNING",
        result_state=end if over else None,
        finished_at=datetime(2026, 1, 1, 1, tzinfo=UTC) if over else None,
    )
    assert await desk.ended(run_id) is over
    assert not await desk.ended(run_id)
    entry = await desk.entry(1)
    assert entry.status is (Status.DONE if end == "SUCCESS" else Status(end))
    assert entry.submission == 2
    logs = [(log.submission, log.runid, log.status) for log in await desk.store.logs(1)]
    assert logs == [(1, run_id, Status.FAILED), *([(2, run_id, entry.status)] if over else [])]


async def test_unknown_run_costs_no_call(desk: Desk) -> None:
    assert not await desk.ended(4711)
    assert [runs.calls for runs in desk.runs.values()] == [[], []]


async def test_false_event_changes_nothing(desk: Desk) -> None:
    run_id = await desk.run_of(1)
    before = await desk.entry(1)
    assert not await desk.ended(run_id)
    assert await desk.entry(1) == before
    assert desk.queue.sent == []


@pytest.mark.parametrize("problem", [WorkspaceUnavailable("no answer"), DatabricksError("odd answer")])
async def test_unavailable_workspace_leaves_the_run_to_the_next_pass(
    desk: Desk, problem: DatabricksError
) -> None:
    run_id = await desk.run_of(1)
    desk.runs["default"].end(run_id, "SUCCESS")
    desk.runs["default"].errors = [problem]
    assert not await desk.ended(run_id)
    assert (await desk.entry(1)).status is Status.RUNNING
    assert await desk.monitor() == []
    assert (await desk.entry(1)).status is Status.DONE


async def test_same_run_id_in_another_workspace(desk: Desk) -> None:
    [entry_id] = await Operations(desk.store.pool).add([NewEntry(table_name="sales", workspace="eu")])
    await desk.trigger()
    await desk.deliver()
    run_id = await desk.run_of(entry_id)
    assert run_id == await desk.run_of(1)
    desk.runs["eu"].end(run_id, "SUCCESS")
    assert await desk.ended(run_id)
    assert (await desk.entry(entry_id)).status is Status.DONE
    assert (await desk.entry(1)).status is Status.RUNNING


async def test_repeated_events_at_once_finish_an_entry_once(desk: Desk) -> None:
    ids = [await desk.run_of(entry_id) for entry_id in (1, 2)]
    for run_id in ids:
        desk.runs["default"].end(run_id, "SUCCESS")
    results = await asyncio.gather(*(desk.ended(run_id) for run_id in ids * 10))
    assert sum(results) == 2
    assert [claim.entry_id for claim in desk.queue.sent] == [CAP + 1, CAP + 2]


async def test_many_events_at_once_share_their_claims(desk: Desk) -> None:
    """While one claim is in progress, one more waits and sees all slots that are freed meanwhile."""
    runs = desk.runs["default"]
    ids = [await desk.run_of(entry_id) for entry_id in range(1, CAP + 1)]
    for run_id in ids:
        runs.end(run_id, "SUCCESS")
    runs.may_list.clear()
    events = {asyncio.create_task(desk.ended(run_id)) for run_id in ids}
    while len(events) > 2:
        _, events = await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
    runs.may_list.set()
    await asyncio.gather(*events)
    assert runs.calls.count("list") == 2
    assert len(desk.queue.sent) == CAP
