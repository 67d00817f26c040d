"""The request of most entries is known at once: their submission is begun as their message is read."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from orchestrator.adapters.store.pool import Pool
from orchestrator.core.addresses import Elsewhere
from orchestrator.core.errors import WorkspaceUnavailable
from orchestrator.core.models import Entry, Job, JobKey
from orchestrator.core.states import Status
from orchestrator.usecases.jobs import Jobs
from orchestrator.usecases.planning import Planner
from tests.fakes import UNAVAILABLE
from tests.world import World

ELSEWHERE = Elsewhere(
    workspace="default", here="", entries=1, entry_id=9, address="https://before", since=None
)


def count_transactions(world: World, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that grows by each transaction: whether it writes."""
    made: list[bool] = []
    transact = Pool.transact

    async def counted(pool: Pool, work: Callable[..., Any], *, writes: bool) -> Any:
        made.append(writes)
        return await transact(pool, work, writes=writes)

    monkeypatch.setattr(Pool, "transact", counted)
    return made


async def test_submission_takes_two_transactions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One before the call of run-now and one after it; the pass has looked the job up."""
    [entry_id] = await world.add("sales")
    await world.trigger()
    made = count_transactions(world, monkeypatch)
    await world.deliver()
    assert made == [True, True]
    assert (await world.entry(entry_id)).status is Status.RUNNING


async def test_what_is_begun_at_once_is_what_is_called(world: World) -> None:
    [entry_id] = await world.add("sales", parameters='{"a": 1}', options='{"queue": {"enabled": true}}')
    await world.trigger()
    await world.deliver()
    [request] = world.databricks.requests
    entry = await world.entry(entry_id)
    assert request.idempotency_token == f"{entry.entry_guid}-1"
    assert (request.parameters, request.options) == ({"a": "1"}, {"queue": {"enabled": True}})
    assert entry.deliveries == 1


@dataclass(frozen=True, kw_only=True)
class Case:
    """An entry, and whether its request is known at once."""

    changes: dict[str, Any]
    is_known: bool = False
    elsewhere: Elsewhere | None = None


CASES = {
    "first call": Case(changes={}, is_known=True),
    "options": Case(changes={"options": '{"only": ["load"]}', "options_length": 18}, is_known=True),
    "list": Case(
        changes={"parameter_style": "python_params", "parameters": '["a"]', "parameters_length": 5},
        is_known=True,
    ),
    "repair is wanted": Case(changes={"retry_mode": "repair"}, is_known=True),
    "a name in braces": Case(changes={"table_name": "{{attempt}}"}, is_known=True),
    "its own job": Case(changes={"job_id": 5}, is_known=True),
    "named job": Case(changes={"job_name": "load"}, is_known=True),
    "here": Case(changes={"workspace_address": "https://here"}, is_known=True),
    "template": Case(changes={"parameters": '{"n": "{{attempt}}"}', "parameters_length": 20}),
    "last success": Case(
        changes={"parameters": '{"n": "{{last_success_started_at}}"}', "parameters_length": 36}
    ),
    "not JSON": Case(changes={"parameters": "{", "parameters_length": 1}),
    "unknown mode": Case(changes={"retry_mode": "sometimes"}),
    "unknown workspace": Case(changes={"workspace": "other"}),
    "two jobs": Case(changes={"job_id": 5, "job_name": "load"}),
    "job that nobody has looked up": Case(changes={"job_id": 6}),
    "continuous job": Case(changes={"job_id": 7}),
    "repeated call": Case(changes={"deliveries": 1, "request": '{"run_now": {}}'}),
    "called before": Case(changes={"deliveries": 1}),
    "request is kept": Case(changes={"request": '{"run_now": {}}'}),
    "second submission": Case(changes={"submission": 2}),
    "had a run": Case(changes={"last_runid": 77}),
    "was elsewhere": Case(changes={"workspace_address": "https://before"}),
    "others are elsewhere": Case(changes={}, elsewhere=ELSEWHERE),
}


@pytest.mark.parametrize("name", CASES)
async def test_what_is_known_at_once_is_what_would_be_planned(world: World, name: str) -> None:
    case = CASES[name]
    planner = await _planner(world)
    entry = replace(await _waiting(world), **case.changes)
    at_once = planner.at_once(entry, case.elsewhere, world.clock.time)
    assert (at_once is not None) is case.is_known
    if at_once is not None:
        assert at_once == await planner.plan(entry, case.elsewhere)


async def test_a_job_is_known_no_longer_than_it_is_kept(world: World) -> None:
    planner = await _planner(world)
    entry = await _waiting(world)
    assert planner.at_once(entry, None, world.clock.time) is not None
    assert planner.at_once(entry, None, world.clock.time + 301) is None


async def test_a_job_that_could_not_be_read_is_not_known(world: World) -> None:
    world.databricks.down = UNAVAILABLE
    planner = await _planner(world)
    world.databricks.down = None
    assert planner.at_once(await _waiting(world), None, world.clock.time) is None


async def _planner(world: World) -> Planner:
    """Return a planner whose jobs 5, also named load, and 7 have been looked up."""
    job = Job(job_id=5, name="load", max_concurrent_runs=10, queue_enabled=False)
    world.databricks.jobs = {5: job, 7: replace(job, job_id=7, name="stream", continuous=True)}
    jobs = Jobs(runs=world.runs, workspaces=world.workspaces, clock=world.clock)
    for key in (JobKey(job_id=5), JobKey(job_name="load"), JobKey(job_id=7)):
        with contextlib.suppress(WorkspaceUnavailable):
            await jobs.resolve("default", key)
    return Planner(
        store=world.store,
        runs=world.runs,
        workspaces={"default": replace(world.workspaces["default"], address="https://here")},
        policy=world.policy,
        jobs=jobs,
    )


async def _waiting(world: World) -> Entry:
    """Return an entry that has been claimed."""
    [entry_id] = await world.add("sales")
    await world.trigger()
    return await world.entry(entry_id)
