"""Submit an entry when its message arrives once, twice or late, or when Databricks refuses or is down."""

from dataclasses import replace
from typing import Any

import pytest

from orchestrator.core.errors import NoCapacity, RequestRefused, Unauthorized, WorkspaceUnavailable
from orchestrator.core.models import Claim, Job, LogRow, TakenUp
from orchestrator.core.states import Status
from orchestrator.usecases.submit import _is_followed
from tests.fakes import UNAVAILABLE
from tests.world import World


@pytest.mark.parametrize("error", [UNAVAILABLE, Unauthorized("no"), WorkspaceUnavailable("429", status=429)])
async def test_unavailable_workspace_never_fails_an_entry(world: World, error: WorkspaceUnavailable) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.errors = [error]
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.attempt) == (Status.QUEUED, 0)
    await world.monitor()
    assert world.queue.sent == []
    world.database.pass_time(31)
    await world.monitor()
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.RUNNING


async def test_rejected_call_leaves_no_doubt(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    turned_away = Unauthorized("token not accepted", status=401)
    turned_away.in_doubt = False
    world.databricks.errors = [turned_away]
    await world.deliver()
    assert (await world.entry(entry_id)).deliveries == 0
    gone = RequestRefused("no such job", status=404, error_code="RESOURCE_DOES_NOT_EXIST", permanent=True)
    world.databricks.errors = [gone]
    await world.submit(Claim(entry_id=entry_id, submission=1))
    [log] = await world.store.logs(entry_id)
    assert (log.status, log.message) == (Status.DEAD, "no such job")


async def test_no_capacity_spends_no_attempt(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.errors = [NoCapacity("already 10 active runs", status=429)]
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.attempt) == (Status.PENDING, 0)
    assert await world.store.logs(entry_id) == []


@pytest.mark.parametrize(
    ("permanent", "status"), [(True, Status.DEAD), (False, Status.FAILED)], ids=["for good", "for now"]
)
async def test_refused_entry(world: World, permanent: bool, status: Status) -> None:
    bad, good = await world.add("bad", "good")
    await world.trigger()
    world.databricks.errors = [
        RequestRefused("no such job", status=404, error_code="RESOURCE_DOES_NOT_EXIST", permanent=permanent)
    ]
    await world.deliver()
    assert (await world.entry(bad)).status is status
    assert (await world.entry(good)).status is Status.RUNNING
    [log] = await world.store.logs(bad)
    assert (log.message, log.runid) == ("no such job", None)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"parameters": "not json"}, "not valid JSON"),
        ({"parameters": '{"a": "' + "x" * 20_000 + '"}'}, "20,009 bytes"),
    ],
)
async def test_invalid_entry_ends_dead_and_does_not_block_others(
    world: World, fields: dict[str, str], text: str
) -> None:
    [bad] = await world.add("bad", **fields)
    [good] = await world.add("good")
    assert await world.trigger() == []
    await world.deliver()
    entry = await world.entry(bad)
    assert entry.status is Status.DEAD
    assert text in (entry.last_error or "")
    [log] = await world.store.logs(bad)
    assert log.status is Status.DEAD
    assert (await world.entry(good)).status is Status.RUNNING


async def test_refused_entry_with_a_cancel_request_is_canceled(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    take_up = world.store.take_up

    async def cancelled_just_after(claim: Claim, lease_seconds: float, **more: Any) -> TakenUp | None:
        taken = await take_up(claim, lease_seconds, **more)
        assert taken is not None
        assert taken.begun is not None
        await world.cancel(claim.entry_id)
        return replace(taken, begun=replace(taken.begun, cancel_requested=True))

    world.store.take_up = cancelled_just_after  # type: ignore[method-assign]  # hits the exact moment
    world.databricks.errors = [RequestRefused("no", status=404, error_code="", permanent=True)]
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.CANCELED


async def test_message_delivered_twice_makes_one_run(world: World) -> None:
    [entry_id] = await world.add("sales")
    await world.trigger()
    [claim] = world.queue.sent
    await world.submit(claim)
    await world.submit(claim)
    assert (await world.entry(entry_id)).attempt == 1
    assert len(world.databricks.requests) == 1


async def test_message_of_a_deleted_entry(world: World) -> None:
    await world.submit(Claim(entry_id=10**12, submission=1))
    assert world.databricks.requests == []


async def test_message_of_an_older_submission_is_stale(world: World) -> None:
    entry = await world.running()
    world.databricks.end(1000, "FAILED")
    await world.monitor()
    world.database.pass_time(3600)
    await world.trigger()
    await world.submit(Claim(entry_id=entry.id, submission=1))
    assert len(world.databricks.requests) == 1
    assert (await world.entry(entry.id)).status is Status.QUEUED


async def test_a_retry_mode_that_nobody_knows_is_told(world: World) -> None:
    """Inserted by SQL: the entry must not run another way than its team wanted."""
    [entry_id] = await world.add("sales", retry_mode="Repair")
    await world.trigger()
    await world.deliver()
    entry = await world.entry(entry_id)
    assert (entry.status, entry.last_error) == (Status.DEAD, "retry_mode must be run or repair")
    assert world.databricks.requests == []


async def test_job_deployed_anew_after_its_name_was_looked_up_is_called_by_its_new_id(world: World) -> None:
    def load(job_id: int) -> dict[int, Job]:
        return {job_id: Job(job_id=job_id, name="load", max_concurrent_runs=9, queue_enabled=False)}

    world.databricks.jobs = load(7)
    [entry_id] = await world.add("sales", job_name="load")
    await world.trigger()  # looks the job up and keeps what it found
    world.databricks.jobs = load(8)
    gone = RequestRefused("job 7 does not exist", status=400, error_code="X", permanent=True)
    world.databricks.errors = [gone]
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.RUNNING
    assert [request.job_id for request in world.databricks.requests] == [8]


async def test_job_that_is_gone_under_its_name_is_not_believed_at_once(world: World) -> None:
    world.databricks.jobs = {7: Job(job_id=7, name="load", max_concurrent_runs=9, queue_enabled=False)}
    [entry_id] = await world.add("sales", job_name="load")
    await world.trigger()
    world.databricks.jobs = {}
    gone = RequestRefused("job 7 does not exist", status=400, error_code="X", permanent=True)
    world.databricks.errors = [gone]
    await world.deliver()
    entry = await world.entry(entry_id)
    assert entry.status is Status.QUEUED
    assert "job 7 does not exist" in (entry.last_error or "")
    assert "believed once the same is said again" in (entry.last_error or "")


async def test_style_that_was_assumed_while_the_job_could_not_be_read_is_corrected(world: World) -> None:
    declares = Job(job_id=5, name="load", max_concurrent_runs=9, queue_enabled=False, parameters=("day",))
    [entry_id] = await world.add("sales")
    await world.trigger()
    world.databricks.jobs = {5: declares}
    world.jobs.forget("default", 5)
    wrong = RequestRefused("the job has parameters", status=400, error_code="X", permanent=True)
    read = world.databricks.get_job
    world.databricks.errors = [wrong]

    async def unreadable(job_id: int) -> Job:
        world.databricks.get_job = read  # type: ignore[method-assign]  # at the next call it can be read
        raise RequestRefused("no", status=403, error_code="PERMISSION_DENIED", permanent=False)

    world.databricks.get_job = unreadable  # type: ignore[method-assign]  # only this call fails
    await world.deliver()
    assert (await world.entry(entry_id)).status is Status.RUNNING
    assert [request.parameter_style for request in world.databricks.requests] == ["job_parameters"]


@pytest.mark.parametrize(
    ("changes", "logged", "is_followed"),
    [
        ({"status": Status.RUNNING, "runid": 11}, None, True),
        ({"status": Status.RUNNING, "runid": 12}, None, False),
        ({"status": Status.QUEUED}, None, True),
        ({"status": Status.FAILED}, None, True),
        ({"status": Status.CANCELED}, None, False),
        ({"status": Status.QUEUED, "submission": 2}, None, False),
        ({"status": Status.DONE}, {"runid": 11}, True),
        ({"status": Status.DONE}, {"runid": 12}, False),
        ({"status": Status.QUEUED}, {"runid": 12}, False),
        ({"status": Status.QUEUED}, {"runid": 12, "submission": 0}, True),
    ],
)
async def test_whether_a_run_whose_answer_came_late_is_followed(
    world: World, changes: dict[str, Any], logged: dict[str, Any] | None, is_followed: bool
) -> None:
    """Otherwise nobody will ever look for run 11, so it is cancelled."""
    [entry_id] = await world.add("sales")
    entry = replace(await world.entry(entry_id), **{"submission": 1, **changes})
    row = {"entry_id": entry_id, "submission": 1, "attempt": 1, "status": Status.DONE}
    log = None if logged is None else LogRow(**{**row, **logged})
    assert _is_followed(entry, log, Claim(entry_id=entry_id, submission=1), 11) is is_followed
