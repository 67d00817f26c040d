"""What is asked of a workspace, and what its answers do to entries: the real client against a real server."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from devstack.databricks.outcomes import parse_rule
from devstack.databricks.requests import RunNow
from orchestrator.core.models import Entry
from orchestrator.core.policy import WorkspacePolicy
from orchestrator.core.states import Status
from orchestrator.core.times import iso_utc
from tests.use_cases.simulated import SimulatedWorld, simulated
from tests.world import policy

LOAD = {"name": "load", "max_concurrent_runs": 100, "tasks": [{"task_key": "main"}]}
DECLARES = {**LOAD, "name": "declares", "parameters": [{"name": "table_name", "default": ""}]}

#: status, body: Databricks speaks of the workspace, and nothing that the app knows means this one entry
NOT_THE_ENTRY = [
    (400, "INVALID_STATE", "Workspace 7 does not have any associated worker environments"),
    (400, "INVALID_PARAMETER_VALUE", "Unexpected error"),
    (400, "BAD_REQUEST", "Unable to load OAuth Config"),
    (404, "FEATURE_DISABLED", "The feature is disabled"),
    (403, "PERMISSION_DENIED", "Public access is not allowed for workspace: 7"),
    (403, "", "Public access is not allowed for workspace: 7"),
    (418, "SOMETHING_NEW", "nobody knows this"),
    (400, "", ""),
]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[SimulatedWorld]:
    default = WorkspacePolicy(name="default", job_id=None, job_name="load", cap=20)
    async with simulated(tmp_path, default=default) as made:
        for settings in (LOAD, DECLARES):
            made.simulator.workspace.create_job(settings)
        yield made


def answer(world: SimulatedWorld, call: str, status: int, body: Any, **more: Any) -> None:
    """Let a call be answered so from now on."""
    fault = {"match": f"jobs/{call}", "kind": "status", "status": status, "body": body, "times": 100_000}
    world.simulator.faults.add({**fault, **more})


def requests(world: SimulatedWorld) -> list[RunNow]:
    """Return what was given to each run, oldest first."""
    runs = world.simulator.workspace.runs()
    return [run.request for run in sorted(runs, key=lambda run: run.number)]


async def states(world: SimulatedWorld, ids: list[int]) -> set[str]:
    return {(await world.entry(each)).status for each in ids}


@pytest.mark.slow
@pytest.mark.parametrize(("status", "code", "message"), NOT_THE_ENTRY)
async def test_a_fault_of_the_workspace_ends_no_entry(
    world: SimulatedWorld, status: int, code: str, message: str
) -> None:
    """A whole cap of entries waits, however long it takes, and runs when the fault ends."""
    ids = await world.add(*(f"t{n}" for n in range(20)))
    answer(world, "run-now", status, {"error_code": code, "message": message})
    await world.minutes(60)
    assert await states(world, ids) == {Status.QUEUED}
    waiting = await world.entry(ids[0])
    assert message in (waiting.last_error or "")
    assert 5 < waiting.postponements < 20, "the waits grow"
    world.simulator.faults.clear()
    await world.minutes(15)
    assert await states(world, ids) == {Status.DONE}
    assert len(world.simulator.workspace.runs()) == 20


@pytest.mark.parametrize("body", [{}, {"run_id": None}])
async def test_an_accepted_call_without_a_run_ends_the_entry_with_the_reason(
    world: SimulatedWorld, body: dict[str, Any]
) -> None:
    ids = await world.add("a", "b")
    answer(world, "run-now", 200, body)
    await world.minutes(3)
    assert await states(world, ids) == {Status.DEAD}
    assert "continuous trigger" in ((await world.entry(ids[0])).last_error or "")
    assert world.requests("run-now") == 2


async def test_an_answer_that_names_no_run_ends_the_entry_and_keeps_its_token(world: SimulatedWorld) -> None:
    [entry_id] = await world.add("a")
    answer(world, "run-now", 200, {"status": "OK"})
    await world.minutes(3)
    entry = await world.entry(entry_id)
    assert (entry.status, world.requests("run-now")) == (Status.DEAD, 1)
    assert "named no run" in (entry.last_error or "")
    world.simulator.faults.clear()
    assert await world.retry(entry_id)
    await world.minutes(15)
    entry = await world.entry(entry_id)
    assert (entry.status, entry.submission) == (Status.DONE, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, {}),
        (200, {"status": "ok"}),
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST"}),
        (404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "The requested job or run was not found"}),
        (400, {"error_code": "INVALID_PARAMETER_VALUE"}),
        (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "Request body is empty"}),
        (400, {"error_code": "MALFORMED_REQUEST", "message": "Invalid JSON"}),
        (413, {"error_code": "REQUEST_TOO_LARGE", "message": "blocked"}),
    ],
)
async def test_a_gateway_that_answers_every_call_alike_ends_no_entry(
    world: SimulatedWorld, status: int, body: dict[str, Any]
) -> None:
    ids = await world.add("a", "b")
    await world.trigger()
    answer(world, "", status, body)
    await world.deliver()
    await world.minutes(60)
    assert await states(world, ids) == {Status.QUEUED}
    waiting = await world.entry(ids[0])
    assert (waiting.attempt, waiting.last_error is None) == (0, False)
    assert 5 < waiting.postponements < 20, "the waits grow"
    world.simulator.faults.clear()
    await world.minutes(15)
    assert await states(world, ids) == {Status.DONE}
    assert len(world.simulator.workspace.runs()) == 2


@pytest.mark.parametrize("body", [{}, {"status": "ok"}])
async def test_no_run_is_explained_by_a_continuous_trigger_that_is_new(
    world: SimulatedWorld, body: dict[str, Any]
) -> None:
    job = world.simulator.workspace.create_job({**LOAD, "name": "stream"})
    await world.add("first", job_id=job.job_id)
    await world.minutes(1)
    settings = {**LOAD, "name": "stream", "continuous": {"pause_status": "UNPAUSED"}}
    answer(world, "get", 200, {"job_id": job.job_id, "settings": settings})
    answer(world, "run-now", 200, body)
    [entry_id] = await world.add("a", job_id=job.job_id)
    await world.minutes(3)
    entry = await world.entry(entry_id)
    assert entry.status is Status.DEAD
    assert (entry.last_error or "").startswith(f"job {job.job_id} has a continuous trigger")


async def test_a_job_that_is_continuous_no_longer_is_asked_for_again(world: SimulatedWorld) -> None:
    job = world.simulator.workspace.create_job({**LOAD, "name": "stream"})
    settings = {**LOAD, "name": "stream", "continuous": {"pause_status": "UNPAUSED"}}
    answer(world, "get", 200, {"job_id": job.job_id, "settings": settings})
    [entry_id] = await world.add("a", job_id=job.job_id)
    await world.minutes(1)
    assert (await world.entry(entry_id)).status is Status.DEAD
    world.simulator.faults.clear()
    answer(world, "get", 503, {"message": "try again later"})
    assert await world.retry(entry_id)
    await world.minutes(2)
    assert (await world.entry(entry_id)).status is Status.QUEUED, "what is kept ends no entry"
    assert world.requests("run-now") == 0
    world.simulator.faults.clear()
    await world.minutes(10)
    assert (await world.entry(entry_id)).status is Status.DONE


@pytest.mark.parametrize("state", ["PAUSED", "UNPAUSED"])
async def test_a_job_with_a_continuous_trigger_is_never_called(world: SimulatedWorld, state: str) -> None:
    stream = {**LOAD, "name": "stream", "max_concurrent_runs": 1, "continuous": {"pause_status": state}}
    job = world.simulator.workspace.create_job(stream)
    ids = await world.add("a", "b", job_id=job.job_id)
    await world.minutes(3)
    assert await states(world, ids) == {Status.DEAD}
    assert "continuous trigger" in ((await world.entry(ids[0])).last_error or "")
    assert world.requests("run-now") == 0


async def test_a_job_that_is_not_the_one_asked_for_is_never_called(world: SimulatedWorld) -> None:
    load, other = (world.simulator.workspace.create_job({**LOAD, "name": name}) for name in ("own", "other"))
    answer(world, "get", 200, {"job_id": other.job_id, "settings": LOAD})
    [entry_id] = await world.add("sales", job_id=load.job_id)
    await world.minutes(15)
    assert (await world.entry(entry_id)).status is Status.DONE
    assert [run.job.job_id for run in world.simulator.workspace.runs()] == [load.job_id]


async def lost_run(world: SimulatedWorld, **fields: Any) -> Entry:
    """Let the answer of an entry's ``run-now`` be lost for good."""
    [entry_id] = await world.add("sales", **fields)
    world.simulator.faults.add({"match": "jobs/run-now", "kind": "drop_after", "times": 4})
    await world.trigger()
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.deliveries) == (Status.QUEUED, 1)
    return entry


async def test_a_token_whose_run_was_deleted_is_settled(world: SimulatedWorld) -> None:
    entry = await lost_run(world)
    world.pass_time(60)
    [run] = world.simulator.workspace.runs()
    world.simulator.workspace.remove(run.run_id)
    await world.minutes(5)
    done = await world.entry(entry.id)
    assert (done.status, done.submission) == (Status.DONE, 2)
    first, second = await world.store.logs(entry.id)
    assert (first.submission, first.status, first.runid) == (1, Status.FAILED, None)
    assert second.status is Status.DONE


async def test_a_repeated_call_sends_what_the_first_one_sent(world: SimulatedWorld) -> None:
    entry = await lost_run(world, parameters='{"day": "{{attempt}}"}')
    world.database.execute("UPDATE track_processing SET parameters = ?", json.dumps({"day": "other"}))
    await world.minutes(3)
    assert (await world.entry(entry.id)).status in {Status.RUNNING, Status.DONE}
    [request] = requests(world)
    assert request.named == {"day": "1"}


async def test_parameters_go_where_the_job_takes_them(world: SimulatedWorld) -> None:
    await world.add("a")
    await world.add("b", job_name="declares")
    await world.trigger()
    await world.deliver()
    found = {run.job.name: list(run.request.parameters) for run in world.simulator.workspace.runs()}
    assert found == {"declares": ["job_parameters"], "load": ["notebook_params"]}


async def test_placeholders_are_filled_in_and_those_of_databricks_stay(world: SimulatedWorld) -> None:
    text = json.dumps(
        {
            "id": "{{entry_id}}/{{ attempt }}",
            "table": "{{table_name}}",
            "since": "{{last_success_started_at}}",
            "run": "{{job.run_id}}",
            "at": "{{created_at}}",
        }
    )
    [first] = await world.add("sales", parameters=text)
    await world.minutes(3)
    [second] = await world.add("sales", parameters=text)
    await world.minutes(1)
    one, two = requests(world)
    assert one.named["id"] == f"{first}/1"
    assert two.named["id"] == f"{second}/1"
    assert (one.named["table"], one.named["run"]) == ("sales", "{{job.run_id}}")
    [log] = await world.store.logs(first)
    assert log.started_at is not None
    assert (one.named["since"], two.named["since"]) == ("", iso_utc(log.started_at, "milliseconds"))
    assert one.named["at"].endswith("Z")


async def test_a_tables_name_is_no_template(world: SimulatedWorld) -> None:
    await world.add("{{entry_id}}")
    await world.minutes(1)
    [request] = requests(world)
    assert request.named == {"table_name": "{{entry_id}}"}


async def test_a_rate_limit_is_answered_with_growing_waits(world: SimulatedWorld) -> None:
    """Ten entries and an hour of 429 make few calls, and no entry is given up."""
    ids = await world.add(*(f"t{n}" for n in range(10)))
    limited = {"error_code": "REQUEST_LIMIT_EXCEEDED", "message": "too many requests"}
    answer(world, "run-now", 429, limited, headers={"Retry-After": "120"})
    await world.minutes(60)
    assert await states(world, ids) == {Status.QUEUED}
    assert world.requests("run-now") <= 30
    world.simulator.faults.clear()
    await world.minutes(15)
    assert await states(world, ids) == {Status.DONE}


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"job_id": 404}, "Job 404 does not exist."),
        ({"job_name": "never"}, "there is no job named 'never' in workspace default"),
        ({"job_name": "twice"}, "several jobs in workspace default are named 'twice'"),
        ({"options": '{"idempotency_token": "x"}'}, "options has no key 'idempotency_token'"),
        ({"options": '{"queue": {"enabled": true, "size": 3}}'}, "options queue must be"),
        ({"options": '{"performance_target": "FAST"}'}, "options performance_target must be one of"),
        ({"options": '{"performance_target": "COST_OPTIMIZED"}'}, "duration_target is required"),
    ],
)
async def test_what_a_plain_insert_asks_for_in_vain_ends_it_with_the_reason(
    world: SimulatedWorld, columns: dict[str, Any], reason: str
) -> None:
    for _ in range(2):
        world.simulator.workspace.create_job({**LOAD, "name": "twice"})
    names, marks = ", ".join(("table_name", *columns)), ", ".join("?" * (1 + len(columns)))
    insert = f"INSERT INTO track_processing ({names}) VALUES ({marks})"
    world.database.execute(insert, "sales", *columns.values())
    await world.minutes(15)  # a name is doubted for some minutes
    entry = await world.entry(1)
    assert (entry.status, reason in (entry.last_error or "")) == (Status.DEAD, True), entry.last_error
    assert [log.status for log in await world.store.logs(1)] == [Status.DEAD]
    assert world.simulator.workspace.runs() == []


@pytest.mark.parametrize(
    "target",
    [
        {"performance_target": "STANDARD"},
        {"performance_target": "COST_OPTIMIZED", "duration_target": "24h"},
    ],
)
async def test_options_go_with_the_call(world: SimulatedWorld, target: dict[str, str]) -> None:
    options = {
        "only": ["main"],
        "queue": {"enabled": False},
        "pipeline_params": {"full_refresh": True},
        **target,
    }
    [entry_id] = await world.add("sales", options=json.dumps(options))
    await world.minutes(3)
    [request] = requests(world)
    assert (request.only, request.queue_enabled) == (("main",), False)
    assert request.performance_target == target["performance_target"]
    assert request.pipeline_params == {"full_refresh": True}
    assert (await world.entry(entry_id)).status is Status.DONE


@pytest.mark.parametrize("lost", [False, True])
async def test_a_failed_run_is_repaired_once(world: SimulatedWorld, *, lost: bool) -> None:
    """The answer to ``runs/repair`` may be lost: there is no token that would find the repair again."""
    world.policy = policy(retry_mode="repair")
    world.simulator.workspace.outcomes.add(parse_rule({"results": ["FAILED", "SUCCESS"]}))
    if lost:
        world.simulator.faults.add({"match": "runs/repair", "kind": "drop_after"})
    [entry_id] = await world.add("sales")
    await world.minutes(10)
    [run] = world.simulator.workspace.runs()
    assert [part.repair_id is None for part in run.parts] == [True, False]
    entry = await world.entry(entry_id)
    assert (entry.status, entry.runid, entry.submission) == (Status.DONE, run.run_id, 2)
    logs = [(log.submission, log.runid, log.status) for log in await world.store.logs(entry_id)]
    assert logs == [(1, run.run_id, Status.FAILED), (2, run.run_id, Status.DONE)]
